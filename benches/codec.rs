//! What it costs to read and to write a frame, in each form: `cargo bench --bench codec`.

#![allow(missing_docs, reason = "criterion's macros make public items")]

use std::hint::black_box;

use bytes::Bytes;
use criterion::measurement::WallTime;
use criterion::{
    BatchSize, BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main,
};
use linkgate_codec::wire::{decode, encode};
use linkgate_filter::{Command, Form};

const FORMS: [(&str, Form); 2] = [("protobuf", Form::Protobuf), ("json", Form::Json)];
const BODIES: [usize; 2] = [64, 4096];
const KEY: &str = "0197a3c2-6f1e-7c55-9d1b-2f4be0a1c6d3";

type Group<'a> = BenchmarkGroup<'a, WallTime>;

/// Runs a bench for each form and size.
fn each(criterion: &mut Criterion, what: &str, bench: fn(&mut Group<'_>, String, Form, Bytes)) {
    for (name, form) in FORMS {
        let mut group = criterion.benchmark_group(format!("{what}/{name}"));
        for len in BODIES {
            // Bytes of all values, so that base64 has its real work.
            let body: Bytes = (0..len).map(|i| (i * 31) as u8).collect();
            group.throughput(Throughput::Bytes(len as u64));
            bench(&mut group, format!("{len}B"), form, body);
        }
        group.finish();
    }
}

fn decoding(criterion: &mut Criterion) {
    each(criterion, "decode", |group, name, form, body| {
        let frame = encode(form, Command::UpstreamMessage, KEY.into(), body, None);
        group.bench_function(name, |b| b.iter(|| decode(form, black_box(&frame))));
    });
}

fn encoding(criterion: &mut Criterion) {
    each(criterion, "encode", |group, name, form, body| {
        group.bench_function(name, |b| {
            b.iter_batched(
                || (KEY.to_owned(), body.clone()),
                |(key, body)| encode(form, Command::DownstreamMessage, key, body, None),
                BatchSize::SmallInput,
            );
        });
    });
}

criterion_group!(benches, decoding, encoding);
criterion_main!(benches);
