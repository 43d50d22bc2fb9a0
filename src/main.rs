//! The linkgate program: the proxy core with the built-in filters.

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    linkgate::main(linkgate_filters::all())
}
