//! The linkgate program: the proxy core with the built-in filters.

fn main() -> std::process::ExitCode {
    linkgate::main(linkgate_filters::all())
}
