//! Files to documents whose every value has the right type.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use linkgate_filter::problem::{
    MOST, Mark, Path as Place, Problem, Problems, deserialize, deserialize_known,
};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::describe;
use super::diagnostics::{Diagnostic, Diagnostics};
use super::document::{ConfigSource, Document, SCHEMA};
use super::fill::{Filler, MOST_FILLED, Reach};
use super::meaning::Meaning;
use super::source::{Sources, Span};
use super::tree::{Node, Tree};
use super::{files, parse, stand_in};

/// What is known of a document's keys.
static KEYS: LazyLock<Value> = LazyLock::new(|| schemars::schema_for!(Document).to_value());

/// All documents of the sources, and of the directories they name. Those with wrong values are among them: what is right
/// in them takes part in the checks. And what each text means, as one number.
pub(super) fn read(
    sources: &mut Sources,
    fetched: Option<&BTreeMap<String, String>>,
    diagnostics: &mut Diagnostics,
) -> (Vec<Tree>, BTreeMap<PathBuf, String>) {
    let variables = sources.variables();
    diagnostics.learn_secrets(&KEYS);
    let known = sources.known();
    let (mut documents, mut hashes) = (Vec::new(), BTreeMap::new());
    let mut done = 0;
    // A document may say where more are, which then come after those that are there.
    let mut is_complete = false;
    loop {
        let Some(file) = sources.ids().nth(done) else {
            if is_complete {
                break;
            }
            if let Some(fetched) = fetched {
                files::add_fetched(sources, fetched, Path::new(""), diagnostics);
            }
            files::add_missing(sources);
            is_complete = true;
            continue;
        };
        done += 1;
        let directory = sources.get(file).folder.clone();
        let mut meaning = Meaning::default();
        let is_fetched = sources.get(file).is_fetched();
        let filler = Filler {
            reach: match &known {
                Some(_) => Reach::Nothing,
                None if is_fetched => Reach::Granted(sources.grants()),
                None => Reach::Node,
            },
            is_own: !sources.is_from_etcd(file),
            variables: &variables,
            directory: &directory,
            named: &|path, held| sources.note_named(path, held),
            given: &|path| Some(sources.given(path)?.to_vec()),
            kept: &|path| Some(sources.kept(&sources.get(file).path, path)?.to_vec()),
            left: Cell::new(MOST_FILLED),
        };
        let mut wheres = Vec::new();
        for mut tree in parse::parse(sources, file, diagnostics) {
            meaning.add(&tree);
            filler.fill(&mut tree, diagnostics);
            diagnostics.hide_secrets_in(&tree);
            if !has_known_schema(&mut tree, diagnostics) {
                continue;
            }
            let problems = stand_in::settle(&mut tree, &KEYS, |tree| {
                deserialize::<Document>(&tree.value())
                    .err()
                    .unwrap_or_default()
            });
            report_typed(&tree, problems, &KEYS, diagnostics);
            if let Some(config) = tree.get("config")
                && sources.is_from_etcd(file)
            {
                let span = config.key.unwrap_or(config.span);
                let what = "`config` says where documents are, and what they may name: a document in etcd cannot";
                let problem = Diagnostic::at(span, what);
                diagnostics.push(problem.hint("keep it in a file of the node"));
            } else if let Some(more) = tree.get("config").and_then(part::<ConfigSource>) {
                wheres.push((
                    more,
                    tree.locate(&Place::from(["config", "directory"]), Mark::Value),
                ));
            }
            documents.push(tree);
        }
        hashes.insert(sources.get(file).path.clone(), meaning.hash());
        for (more, span) in wheres {
            // The node's own documents come before those from etcd.
            let root = more.files_root.map(|root| directory.join(root));
            sources.grant(root, more.variables);
            if let Some(named) = more.directory {
                let folder: PathBuf = directory.join(named).components().collect();
                if known
                    .as_ref()
                    .is_some_and(|known| !known.directories.contains(&folder))
                {
                    let problem =
                        Diagnostic::at(span, "what is in this directory is not looked at here");
                    diagnostics.push_unread(
                        problem.hint("only directories that the node reads already are"),
                    );
                } else if folder.is_dir() {
                    files::add(sources, &folder, diagnostics);
                } else {
                    diagnostics.push_unread(no_directory(span, &folder));
                }
            }
        }
    }
    (documents, hashes)
}

fn no_directory(span: Span, folder: &Path) -> Diagnostic {
    Diagnostic::at(
        span,
        format!("there is no directory `{}`", folder.display()),
    )
    .hint("a relative path begins at the folder of this document")
}

/// The value of a part of a document; `None` if it is wrong, which has been reported with the whole document.
pub(super) fn part<T: DeserializeOwned>(tree: &Tree) -> Option<T> {
    deserialize(&tree.value()).ok()
}

/// As [`part`], but a part that is only wrong in that it has unknown keys is checked further.
pub(super) fn known_part<T: DeserializeOwned>(tree: &Tree) -> Option<T> {
    deserialize_known(&tree.value()).0
}

/// Shows problems whose paths begin at `tree`, of which `schema` says more.
fn report_typed(tree: &Tree, problems: Problems, schema: &Value, diagnostics: &mut Diagnostics) {
    if problems.len() >= MOST {
        diagnostics.cut_short();
    }
    for mut problem in problems {
        problem.hint = describe::hint(&problem, schema);
        show(tree, problem, diagnostics);
    }
}

/// Shows problems whose paths begin at `tree`.
pub(super) fn report(tree: &Tree, problems: Problems, diagnostics: &mut Diagnostics) {
    for problem in problems {
        if !tree.depends_on_reference(&problem) {
            show(tree, problem, diagnostics);
        }
    }
}

fn show(tree: &Tree, problem: Problem, diagnostics: &mut Diagnostics) {
    let diagnostic = Diagnostic::at(tree.locate(&problem.path, problem.mark), problem.message);
    diagnostics.push(match problem.hint {
        Some(hint) => diagnostic.hint(hint),
        None => diagnostic,
    });
}

/// Whether `schema:` says a number that this build reads. Where it says nothing, the rest is checked as if it did.
fn has_known_schema(tree: &mut Tree, diagnostics: &mut Diagnostics) -> bool {
    let span = tree.span;
    let written = tree.get("schema").map(Tree::value);
    let Node::Map(entries) = &mut tree.node else {
        let problem = Diagnostic::at(span, "a document has to be a mapping");
        diagnostics.push_unread(problem.hint(format!(
            "begin it with `schema: {SCHEMA}`, and `key: value` lines below"
        )));
        return false;
    };
    match written {
        Some(version) if version.as_u64() == Some(SCHEMA.into()) => true,
        None => {
            let problem = Diagnostic::at(span, "this document does not say its `schema`");
            diagnostics.push(problem.hint(format!("write `schema: {SCHEMA}` at its top")));
            let assumed = Node::Leaf {
                value: SCHEMA.into(),
                plain: true,
            };
            entries.push((
                "schema".to_owned(),
                Tree {
                    span,
                    key: None,
                    node: assumed,
                },
            ));
            true
        }
        Some(version) => {
            let shown = serde_yaml::to_string(&version).unwrap_or_default();
            let span = tree.locate(&Place::from("schema"), Mark::Value);
            let problem = Diagnostic::at(
                span,
                format!("this build does not read schema `{}`", shown.trim()),
            );
            let is_later = version.as_u64().is_some_and(|said| said > SCHEMA.into());
            diagnostics.push_unread(problem.hint(if is_later {
                let own = env!("CARGO_PKG_VERSION");
                format!("linkgate {own} reads schema {SCHEMA}: this is for a later version")
            } else {
                format!("it reads schema {SCHEMA}: write `schema: {SCHEMA}`")
            }));
            false
        }
    }
}
