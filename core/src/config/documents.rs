//! Documents looked at before anything is made of them: their texts, and what each says by itself.

use std::collections::BTreeMap;
use std::path::Path;

use linkgate_filter::Registry;
use linkgate_filter::problem::Problems;

use super::diagnostics::Diagnostics;
use super::source::{Origin, Source, Sources};
use super::tree::Tree;
use super::{Invalid, Loaded, files, parse, read};

/// The texts of the documents at `path`, by the names of their files. What they mean is not looked at.
///
/// # Errors
/// They cannot be read.
pub fn texts(path: &Path) -> Result<BTreeMap<String, String>, Box<Invalid>> {
    let mut sources = Sources::default();
    let mut diagnostics = Diagnostics::default();
    files::add(&mut sources, path, &mut diagnostics);
    if !diagnostics.is_empty() {
        return Err(Box::new(Invalid {
            diagnostics,
            sources,
        }));
    }
    let named = |source: &Source| {
        let name = source.path.file_name()?.to_string_lossy().into_owned();
        Some((name, source.text.clone()))
    };
    Ok(sources.iter().filter_map(named).collect())
}

/// Reads all that `origin` names; gives the names of documents that say something of what others share.
///
/// # Errors
/// All problems found.
pub fn shared(origin: &Origin, registry: &Registry) -> Result<Vec<String>, Box<Invalid>> {
    let Loaded { config, read } = super::read(origin, registry);
    config?;
    let names = read.shared.iter().filter_map(|path| path.file_name());
    Ok(names
        .map(|name| name.to_string_lossy().into_owned())
        .collect())
}

/// The greatest `schema` that each document says, if it says a number.
pub fn schemas(documents: &BTreeMap<String, String>) -> BTreeMap<String, u32> {
    let mut sources = Sources::default();
    let mut diagnostics = Diagnostics::default();
    let nowhere = Path::new("");
    files::add_fetched(&mut sources, documents, nowhere, &mut diagnostics);
    let said = |name: &String| {
        let path = Origin::fetched_path(name);
        let file = sources.ids().find(|id| sources.get(*id).path == path)?;
        let trees = parse::parse(&sources, file, &mut Diagnostics::default());
        let schema = |tree: &Tree| {
            tree.get("schema")
                .and_then(|schema| schema.value().as_u64())
        };
        let greatest = trees.iter().filter_map(schema).max()?;
        Some((name.clone(), u32::try_from(greatest).unwrap_or(u32::MAX)))
    };
    documents.keys().filter_map(said).collect()
}

/// What documents mean, as one number each, by their names.
pub fn meanings(documents: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut sources = Sources::default();
    let mut diagnostics = Diagnostics::default();
    let nowhere = Path::new("");
    files::add_fetched(&mut sources, documents, nowhere, &mut diagnostics);
    let (_, hashes) = read::read(&mut sources, None, &mut diagnostics);
    let named = |name: &String| {
        let hash = hashes.get(&Origin::fetched_path(name)).cloned();
        (name.clone(), hash.unwrap_or_default())
    };
    documents.keys().map(named).collect()
}

/// Texts as trees, right or wrong.
pub struct Texts {
    /// The texts.
    pub sources: Sources,
    /// What is wrong with them.
    pub diagnostics: Diagnostics,
    /// The trees, one for each document. References in them are not filled in.
    pub trees: Vec<Tree>,
}

/// The file at `path` as trees, for a language of its own that has no secrets.
pub fn trees(path: &Path) -> Texts {
    let mut sources = Sources::default();
    let mut diagnostics = Diagnostics::default();
    diagnostics.hide_nothing();
    files::add(&mut sources, path, &mut diagnostics);
    let files: Vec<_> = sources.ids().collect();
    let trees = files
        .into_iter()
        .flat_map(|file| parse::parse(&sources, file, &mut diagnostics))
        .collect();
    Texts {
        sources,
        diagnostics,
        trees,
    }
}

/// Notes problems whose paths begin at `tree`.
pub fn report(tree: &Tree, problems: Problems, diagnostics: &mut Diagnostics) {
    read::report(tree, problems, diagnostics);
}
