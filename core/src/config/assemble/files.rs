//! Files that the configuration names by path: made relative to the folder of their document, and there.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use linkgate_filter::backend::Backend;

use crate::config::diagnostics::{Diagnostic, Diagnostics};
use crate::config::files::{LARGEST, TooLarge, read_bounded};
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
    let written = tree.get("kafka");
    if let (Some(kafka), Some(written)) = (&broker.kafka, written)
        && sources.is_from_etcd(tree.span.file)
    {
        let properties = written.get("properties").unwrap_or(written);
        for name in kafka.of_the_node() {
            let span = properties.get(name).map_or(properties.span, |own| own.span);
            let what =
                format!("`{name}` may name what is on the node: a document in etcd cannot give it");
            let hint = "use `tls` of this broker, or keep the broker in a file of the node";
            diagnostics.push(Diagnostic::at(span, what).hint(hint));
        }
    }
    let written = written.and_then(|kafka| kafka.get("tls"));
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
    if sources.known().is_some() {
        return;
    }
    let document = &sources.get(written.span.file).path;
    let kept = || sources.kept(document, path).map(<[u8]>::to_vec);
    let holds = fs::read(path).ok().or_else(kept);
    sources.note_named(path, holds.as_deref());
    holds.hash(held);
}

/// Where the file is that a document names by its path.
fn located(path: &Path, written: &Tree, sources: &Sources) -> Result<PathBuf, Diagnostic> {
    let document = sources.get(written.span.file);
    // Whether it is there is not told of what somebody proposes.
    if document.is_fetched() && sources.known().is_none() {
        return sources.grants().file(path, written.span);
    }
    Ok(document.folder.join(path))
}

/// Puts the document's folder in front of a relative path, and reports a file that cannot be read.
fn find(path: &mut PathBuf, written: &Tree, sources: &Sources, diagnostics: &mut Diagnostics) {
    match located(path, written, sources) {
        Ok(found) => *path = found,
        Err(problem) => return diagnostics.push(problem),
    }
    let document = sources.get(written.span.file);
    if sources.known().is_some() || sources.kept(&document.path, path).is_some() {
        return;
    }
    if let Err(error) = fs::File::open(&*path) {
        let why = match error.kind() {
            std::io::ErrorKind::NotFound => "does not exist".to_owned(),
            _ => format!("cannot be read: {error}"),
        };
        let problem = Diagnostic::at(written.span, format!("the file `{}` {why}", path.display()));
        diagnostics.push(problem.hint(match document.is_fetched() {
            true => "a path begins at `config.files_root`",
            false => "a relative path begins at the folder of this document",
        }));
    }
}

/// A listener's certificate and key are texts, or paths. Files are read here and nowhere else: what was checked is what is
/// served, and a change of the node waits for no disk. Gives whether the texts are there to be checked.
pub(super) fn of_listener(
    listener: &mut ListenerConfig,
    tree: &Tree,
    sources: &Sources,
    diagnostics: &mut Diagnostics,
) -> bool {
    let written = tree.get("tls");
    let (Some(tls), Some(written)) = (&mut listener.tls, written) else {
        return true;
    };
    let mut are_there = true;
    let mut found = |key: &'static str, given: &str| {
        let written = written.get(key).unwrap_or(written);
        match located(Path::new(given), written, sources) {
            Ok(path) if sources.known().is_some() => {
                are_there = false;
                Some(path.to_string_lossy().into_owned())
            }
            Ok(path) => {
                let text = text(&path, written, sources);
                text.map_err(|why| tls.unread.push((key, why))).ok()
            }
            Err(problem) => {
                are_there = false;
                diagnostics.push(problem);
                None
            }
        }
    };
    if !is_pem(&tls.cert)
        && let Some(cert) = found("cert", &tls.cert)
    {
        tls.cert = cert;
    }
    if !is_pem(tls.key.expose())
        && let Some(key) = found("key", tls.key.expose())
    {
        tls.key = Secret::new(key);
    }
    are_there
}

/// What a file holds, and a note that it is named.
fn text(path: &Path, written: &Tree, sources: &Sources) -> Result<String, String> {
    let document = &sources.get(written.span.file).path;
    let kept = || sources.kept(document, path).map(<[u8]>::to_vec);
    let holds = read_bounded(path).or_else(|error| kept().ok_or(error));
    sources.note_named(path, holds.as_deref().ok());
    let holds = holds.map_err(|error| match error {
        TooLarge::Io(error) => error.to_string(),
        TooLarge::Size => format!("it is larger than {LARGEST} bytes"),
    });
    String::from_utf8(holds?).map_err(|_| "it is not text in UTF-8".to_owned())
}

fn is_pem(text: &str) -> bool {
    text.contains("-----BEGIN ")
}
