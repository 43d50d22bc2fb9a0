//! From the text of a case file to its cases.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use linkgate_core::config::Invalid;
use linkgate_core::config::diagnostics::{Diagnostic, Diagnostics};
use linkgate_core::config::documents::{self, Texts};
use linkgate_core::config::source::Sources;
use linkgate_core::config::tree::{Node, Tree};
use linkgate_filter::problem::{Problems, deserialize};
use serde::de::DeserializeOwned;

use super::docs::{self, File};
use super::sentence::{self, Sentence};
use super::{Case, CaseFile, Expectation, Kind, Step, examples, text};

/// Reads the cases at `path`.
///
/// # Errors
/// All that is wrong with the file.
pub fn read(path: &Path) -> Result<CaseFile, Box<Invalid>> {
    let Texts {
        sources,
        mut diagnostics,
        mut trees,
    } = documents::trees(path);
    let mut file = None;
    if let Some(tree) = trees.pop().filter(|_| trees.is_empty()) {
        file = Reader {
            tree: &tree,
            path,
            diagnostics: &mut diagnostics,
        }
        .file();
    } else if trees.is_empty() && diagnostics.len() <= 1 && is_empty(&sources) {
        // What is said of it so far is said to authors of configurations.
        diagnostics = Diagnostics::default();
        let problem = Diagnostic::file(path, "there is nothing in this file");
        diagnostics.push(problem.hint("begin it with `cases:`"));
    } else if diagnostics.is_empty() {
        let problem = Diagnostic::file(path, "a case file is one document");
        diagnostics.push(problem.hint("begin it with `cases:`, and remove `---`"));
    }
    match file {
        Some(mut file) if diagnostics.is_empty() => {
            let mut texts = sources.iter().map(|source| source.text.clone());
            file.text = texts.next().unwrap_or_default();
            Ok(file)
        }
        _ => Err(Box::new(Invalid {
            diagnostics,
            sources,
        })),
    }
}

/// Whether there is nothing but comments.
fn is_empty(sources: &Sources) -> bool {
    let mut lines = sources.iter().flat_map(|source| source.text.lines());
    lines.all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'))
}

struct Reader<'a> {
    tree: &'a Tree,
    path: &'a Path,
    diagnostics: &'a mut Diagnostics,
}

impl Reader<'_> {
    fn file(&mut self) -> Option<CaseFile> {
        let file: File = self.part(self.tree)?;
        let folder = self.path.parent().unwrap_or(Path::new(""));
        let config = match file.config {
            Some(paths) => paths
                .all()
                .into_iter()
                .map(|path| folder.join(path))
                .collect(),
            None => vec![beside(self.path)],
        };
        let files = file
            .files
            .into_iter()
            .map(|(path, text)| (folder.join(path), text.into_bytes()));
        let allow = self.allow(self.tree);
        let mut cases = Vec::new();
        let trees = self.tree.get("cases").map_or(&[][..], Tree::items);
        for tree in trees {
            cases.extend(self.case(tree, &file.clients, &allow, folder));
        }
        if cases.is_empty() && self.diagnostics.is_empty() {
            let problem = Diagnostic::at(self.tree.span, "there is no case in this file");
            self.diagnostics
                .push(problem.hint("write `cases: [{ name: ..., steps: [...] }]`"));
        }
        Some(CaseFile {
            path: self.path.to_owned(),
            text: String::new(),
            config,
            variables: file.variables,
            files: files.collect(),
            unreachable: file.unreachable,
            cases,
        })
    }

    /// The case, once for each row of its examples.
    fn case(
        &mut self,
        tree: &Tree,
        clients: &BTreeMap<String, docs::Client>,
        allow: &[Expectation],
        folder: &Path,
    ) -> Vec<Case> {
        let Some(case) = self.part::<docs::Case>(tree) else {
            return Vec::new();
        };
        self.check_case(tree, &case);
        let rows = match case.examples.is_empty() {
            true => vec![BTreeMap::new()],
            false => case.examples,
        };
        let written = tree.get("examples").map_or(&[][..], Tree::items);
        let name = case.name;
        let mut cases = Vec::new();
        for (number, row) in rows.iter().enumerate() {
            let filled = examples::filled(tree, row);
            let Some(case) = self.part::<docs::Case>(&filled) else {
                break;
            };
            let mut all_clients = clients.clone();
            all_clients.extend(case.clients);
            let own = filled.get("allow");
            let nothing = own.is_some_and(|own| own.items().is_empty());
            let mut allow = if nothing { Vec::new() } else { allow.to_vec() };
            allow.extend(self.allow(&filled));
            let steps = filled.get("steps").map_or(&[][..], Tree::items);
            let before = self.diagnostics.len();
            let steps = steps.iter().filter_map(|tree| self.step(tree, folder));
            let steps: Vec<Step> = steps.collect();
            cases.push(Case {
                name: match written.get(number) {
                    Some(row) => examples::named(&name, &case.name, row),
                    None => case.name,
                },
                span: tree.get("name").unwrap_or(tree).span,
                clients: all_clients,
                allow,
                steps,
            });
            // What is wrong in one row is wrong in all of them.
            if self.diagnostics.len() > before {
                break;
            }
        }
        cases
    }

    fn check_case(&mut self, tree: &Tree, case: &docs::Case) {
        let at = |key: &str| tree.get(key).unwrap_or(tree).span;
        if case.steps.is_empty() {
            let problem = Diagnostic::at(at("steps"), "this case has no steps");
            self.diagnostics
                .push(problem.hint("begin with `- ann connects`"));
        }
        if tree.get("examples").is_some() && case.examples.is_empty() {
            let problem = Diagnostic::at(
                at("examples"),
                "there is no row, so this case would never run",
            );
            self.diagnostics
                .push(problem.hint("write one, or remove `examples`"));
        }
        let columns: BTreeSet<&String> = case.examples.iter().flat_map(BTreeMap::keys).collect();
        let rows = tree.get("examples").map_or(&[][..], Tree::items);
        for (row, written) in case.examples.iter().zip(rows) {
            if let Some(missing) = columns.iter().find(|column| !row.contains_key(**column)) {
                let problem = Diagnostic::at(written.span, format!("this row has no `{missing}`"));
                self.diagnostics
                    .push(problem.hint("all rows have the same names"));
            }
        }
    }

    fn allow(&mut self, tree: &Tree) -> Vec<Expectation> {
        let steps = tree.get("allow").map_or(&[][..], Tree::items);
        let mut allowed = Vec::new();
        for tree in steps {
            match self.step(tree, Path::new("")).map(|step| step.kind) {
                Some(Kind::Expectation(expectation)) if expectation.times == 1 => {
                    allowed.push(expectation);
                }
                Some(Kind::Expectation(_)) => {
                    let problem =
                        Diagnostic::at(tree.span, "what is allowed may come any number of times");
                    self.diagnostics.push(problem.hint("remove `times`"));
                }
                Some(_) => {
                    let problem = Diagnostic::at(tree.span, "only what is seen can be allowed");
                    self.diagnostics
                        .push(problem.hint("such as `- ann receives: { cmd: HEARTBEAT }`"));
                }
                None => {}
            }
        }
        allowed
    }

    fn step(&mut self, tree: &Tree, folder: &Path) -> Option<Step> {
        let kind = self.kind(tree, folder)?;
        Some(Step {
            span: tree.span,
            text: text::shown(tree),
            kind,
        })
    }

    fn kind(&mut self, tree: &Tree, folder: &Path) -> Option<Kind> {
        let none = Tree {
            span: tree.span,
            key: None,
            node: Node::Leaf {
                value: serde_yaml::Value::Null,
                plain: true,
            },
        };
        let (words, value, options): (&str, &Tree, Vec<(&str, &Tree)>) = match &tree.node {
            Node::Leaf { .. } => (tree.text().unwrap_or_default(), &none, Vec::new()),
            Node::Map(_) => {
                let mut entries = tree.entries();
                let Some((words, value)) = entries.next() else {
                    let problem = Diagnostic::at(tree.span, "this step says nothing");
                    self.diagnostics
                        .push(problem.hint("remove it, or write such as `- ann connects`"));
                    return None;
                };
                (words, value, entries.collect())
            }
            Node::List(_) => ("", &none, Vec::new()),
        };
        if words == "in any order" {
            if let Some((option, _)) = options.first() {
                let message = format!("`{option}` says nothing beside `in any order`");
                let problem = Diagnostic::at(tree.span, message);
                self.diagnostics
                    .push(problem.hint("it is a step of its own"));
                return None;
            }
            if !matches!(value.node, Node::List(_)) {
                let problem =
                    Diagnostic::at(tree.span, "`in any order` has a list of steps below it");
                self.diagnostics.push(problem.hint("begin each with `- `"));
                return None;
            }
            let parts = value.items().iter();
            let parts: Vec<_> = parts.filter_map(|tree| self.kind(tree, folder)).collect();
            let parts = parts.into_iter().map(|kind| match kind {
                Kind::Expectation(expectation) => Some(expectation),
                _ => None,
            });
            let parts: Option<Vec<Expectation>> = parts.collect();
            let Some(parts) = parts.filter(|parts| !parts.is_empty()) else {
                let problem = Diagnostic::at(
                    value.span,
                    "only what is seen can be in any order, and something has to be",
                );
                self.diagnostics
                    .push(problem.hint("move what is done before it"));
                return None;
            };
            return Some(Kind::AnyOrder(parts));
        }
        let sentence = Sentence {
            words,
            value: &value.value(),
            options: &options,
            folder,
        };
        match sentence.read() {
            Ok(kind) => Some(kind),
            Err(sentence::Wrong::Words(message, hint)) => {
                let span = value.key.unwrap_or(tree.span);
                self.diagnostics
                    .push(Diagnostic::at(span, message).hint(hint));
                None
            }
            Err(sentence::Wrong::Value(problems)) => {
                self.report(value, problems);
                None
            }
            Err(sentence::Wrong::Option(name, problems)) => {
                let at = options.iter().find(|(known, _)| *known == name);
                self.report(at.map_or(tree, |(_, tree)| tree), problems);
                None
            }
        }
    }

    fn part<T: DeserializeOwned>(&mut self, tree: &Tree) -> Option<T> {
        match deserialize(&tree.value()) {
            Ok(part) => Some(part),
            Err(problems) => {
                self.report(tree, problems);
                None
            }
        }
    }

    fn report(&mut self, tree: &Tree, problems: Problems) {
        documents::report(tree, problems, self.diagnostics);
    }
}

/// The configuration that stands beside a case file.
fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(name.replacen(".test.", ".", 1))
}
