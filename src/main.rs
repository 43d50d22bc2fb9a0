//! The linkgate program: the proxy core with the built-in filters.

fn main() -> std::process::ExitCode {
    linkgate::main(linkgate::program!(), linkgate_filters::all())
}
