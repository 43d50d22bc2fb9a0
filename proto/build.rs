//! Compiles `linkgate/v1/*.proto` in pure Rust, without `protoc`: messages and services
//! (prost, tonic), their protobuf JSON mapping (pbjson), and the descriptors for
//! server reflection.

use std::error::Error;
use std::path::PathBuf;
use std::{env, fs};

use prost::Message;

const PROTOS: [&str; 6] = ["message", "backend", "push", "report", "presence", "peer"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=linkgate");
    let out = PathBuf::from(env::var("OUT_DIR")?);

    let files = PROTOS.map(|name| format!("linkgate/v1/{name}.proto"));
    let mut descriptors = protox::compile(files, ["."])?;

    tonic_prost_build::configure()
        .bytes(".")
        .compile_fds(descriptors.clone())?;

    // The comments have become doc comments by now: readers of the descriptors go without.
    for file in &mut descriptors.file {
        file.source_code_info = None;
    }
    let encoded = descriptors.encode_to_vec();
    fs::write(out.join("linkgate.v1.bin"), &encoded)?;

    pbjson_build::Builder::new()
        .register_descriptors(&encoded)?
        // A reader skips what it does not know, as it does in the binary form.
        .ignore_unknown_fields()
        .build(&[".linkgate.v1"])?;
    Ok(())
}
