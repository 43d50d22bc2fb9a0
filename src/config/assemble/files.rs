//! Files that the configuration names by path: made relative to the folder of their document, and there.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use linkgate_filter::backend::Backend;

use crate::config::diagnostics::{Diagnostic, Diagnostics};
use crate::config::source::Sources;
use crate::config::tree::Tree;
use crate::edges::config::BrokerConfig;
use crate::listener::config::ListenerConfig;
use crate::secret::Secret;

pub(super) fn of_backend(
    backend: &mut Backend,
    tree: &Tree,
    sources: &Sources,
    diagnostics: &mut Diagnostics,
) {
    let written = tree.get("grpc").and_then(|grpc| grpc.get("tls"));
    let (Some(tls), Some(written)) = (&mut backend.grpc.tls, written) else {
        return;
    };
    let files = [&mut tls.ca, &mut tls.cert, &mut tls.key];
    tls.held = of_tls(files, written, sources, diagnostics);
}

pub(super) fn of_broker(
    broker: &mut BrokerConfig,
    tree: &Tree,
    sources: &Sources,
    diagnostics: &mut Diagnostics,
) {
    let written = tree.get("kafka").and_then(|kafka| kafka.get("tls"));
    let kafka = broker.kafka.as_mut();
    let (Some(tls), Some(written)) = (kafka.and_then(|kafka| kafka.tls.as_mut()), written) else {
        return;
    };
    let files = [&mut tls.ca, &mut tls.cert, &mut tls.key];
    tls.held = of_tls(files, written, sources, diagnostics);
}

/// The files of a client's `tls`: `ca`, `cert` and `key`. Gives what they hold, as one number.
fn of_tls(
    files: [&mut Option<PathBuf>; 3],
    written: &Tree,
    sources: &Sources,
    diagnostics: &mut Diagnostics,
) -> u64 {
    let mut held = DefaultHasher::new();
    for (key, path) in ["ca", "cert", "key"].into_iter().zip(files) {
        if let (Some(path), Some(written)) = (path, written.get(key)) {
            find(path, written, sources, diagnostics);
            hold(path, written, sources, &mut held);
        }
    }
    held.finish()
}

/// Adds what a file holds, and notes that it is named.
fn hold(path: &Path, written: &Tree, sources: &Sources, held: &mut DefaultHasher) {
    let document = &sources.get(written.span.file).path;
    let kept = || sources.kept(document, path).map(<[u8]>::to_vec);
    let holds = fs::read(path).ok().or_else(kept);
    sources.note_named(path, holds.as_deref());
    holds.hash(held);
}

/// Puts the document's folder in front of a relative path, and reports a file that cannot be read.
fn find(path: &mut PathBuf, written: &Tree, sources: &Sources, diagnostics: &mut Diagnostics) {
    let document = sources.get(written.span.file);
    *path = document.folder.join(&*path);
    if sources.kept(&document.path, path).is_some() {
        return;
    }
    if let Err(error) = fs::File::open(&*path) {
        let why = match error.kind() {
            std::io::ErrorKind::NotFound => "does not exist".to_owned(),
            _ => format!("cannot be read: {error}"),
        };
        let problem = Diagnostic::at(written.span, format!("the file `{}` {why}", path.display()));
        diagnostics.push(problem.hint("a relative path begins at the folder of this document"));
    }
}

/// A listener's certificate and key are texts, or paths.
pub(super) fn of_listener(listener: &mut ListenerConfig, tree: &Tree, sources: &Sources) {
    let folder = &sources.get(tree.span.file).folder;
    let Some(tls) = &mut listener.tls else {
        return;
    };
    let mut held = DefaultHasher::new();
    let found = |text: &str| folder.join(text).to_string_lossy().into_owned();
    if !is_pem(&tls.cert) {
        tls.cert = found(&tls.cert);
        hold(Path::new(&tls.cert), tree, sources, &mut held);
    }
    if !is_pem(tls.key.expose()) {
        tls.key = Secret::new(found(tls.key.expose()));
        hold(Path::new(tls.key.expose()), tree, sources, &mut held);
    }
    tls.held = held.finish();
}

fn is_pem(text: &str) -> bool {
    text.contains("-----BEGIN ")
}
