use std::path::Path;

use super::*;

fn names(folder: &Path, paths: &[&str]) -> (Vec<String>, usize) {
    let mut sources = Sources::default();
    let mut diagnostics = Diagnostics::default();
    for path in paths {
        add(&mut sources, &folder.join(path), &mut diagnostics);
    }
    let name = |id| {
        sources
            .get(id)
            .path
            .file_name()
            .unwrap()
            .to_string_lossy()
            .into_owned()
    };
    (sources.ids().map(name).collect(), diagnostics.len())
}

#[test]
fn a_directory_gives_its_yaml_files_in_order_and_each_file_once() {
    let folder = tempfile::tempdir().unwrap();
    for name in [
        "b.yaml",
        "a.yml",
        ".hidden.yaml",
        "a.test.yaml",
        "notes.txt",
    ] {
        fs::write(folder.path().join(name), "schema: 1").unwrap();
    }
    fs::create_dir(folder.path().join("deeper.yaml")).unwrap();
    assert_eq!(
        names(folder.path(), &["."]),
        (vec!["a.yml".into(), "b.yaml".into()], 0)
    );
    let twice = names(folder.path(), &["b.yaml", ".", "./b.yaml"]);
    assert_eq!(twice, (vec!["b.yaml".into(), "a.yml".into()], 0));
}

#[test]
fn what_is_named_outright_is_read_whatever_it_is_called() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(".config"), "\u{feff}schema: 1").unwrap();
    let mut sources = Sources::default();
    add(
        &mut sources,
        &folder.path().join(".config"),
        &mut Diagnostics::default(),
    );
    assert_eq!(sources.get(sources.ids().next().unwrap()).text, "schema: 1");
}

#[test]
fn what_cannot_be_read_is_a_problem() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("latin.yaml"), b"caf\xe9").unwrap();
    fs::write(
        folder.path().join("large.yaml"),
        vec![b' '; LARGEST as usize + 1],
    )
    .unwrap();
    fs::create_dir(folder.path().join("empty")).unwrap();
    for path in ["latin.yaml", "large.yaml", "empty", "nowhere"] {
        assert_eq!(names(folder.path(), &[path]), (vec![], 1), "{path}");
    }
}
