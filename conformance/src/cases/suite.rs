//! All cases below some paths, run side by side.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use linkgate_core::config::Invalid;
use linkgate_filter::Registry;
use parking_lot::Mutex;

use super::against;
use super::driver::{self, Run};
use super::language::{self, CaseFile};
use super::world::There;

/// A case that has run.
pub struct Ran {
    /// Its file, by its number among those that were read.
    pub file: usize,
    /// Its number in the file.
    pub case: usize,
    /// What came of it.
    pub run: Run,
    /// Why it was not run, if so.
    pub skipped: Option<String>,
    /// How long it took.
    pub took: Duration,
}

/// A case, by the numbers of its file and its own.
type Number = (usize, usize);

/// Those whose names have `only` in them.
fn wanted(files: &[CaseFile], only: Option<&str>) -> Vec<Number> {
    let is_wanted = |name: &str| only.is_none_or(|only| name.contains(only));
    let mut wanted = Vec::new();
    for (file, cases) in files.iter().enumerate() {
        for (case, own) in cases.cases.iter().enumerate() {
            if is_wanted(&own.name) {
                wanted.push((file, case));
            }
        }
    }
    wanted
}

/// The case files at `paths`: files, or directories that are looked through with all below them.
///
/// # Errors
/// A path that cannot be read, or below which there is none.
pub fn find(paths: &[PathBuf]) -> Result<Vec<PathBuf>, String> {
    let mut found = BTreeSet::new();
    for path in paths {
        let before = found.len();
        let wrong = |why: std::io::Error| format!("{}: {why}", path.display());
        if path.is_dir() {
            look_through(path, &mut found).map_err(wrong)?;
            if found.len() == before {
                return Err(format!(
                    "{}: there are no cases below it; they are in files named `*.test.yaml`",
                    path.display()
                ));
            }
        } else {
            std::fs::metadata(path).map_err(wrong)?;
            found.insert(cases_of(path)?);
        }
    }
    let mut real = BTreeSet::new();
    let is_new = |path: &PathBuf| real.insert(path.canonicalize().unwrap_or_else(|_| path.clone()));
    Ok(found.into_iter().filter(is_new).collect())
}

/// The case file that a path means: itself, or the one beside a configuration.
fn cases_of(path: &Path) -> Result<PathBuf, String> {
    if is_case_file(path) {
        return Ok(path.to_owned());
    }
    let beside = path.with_extension("test.yaml");
    match beside.is_file() {
        true => Ok(beside),
        false => Err(format!(
            "{}: this is no case file, and there is no {} beside it",
            path.display(),
            beside.display()
        )),
    }
}

fn is_case_file(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.ends_with(".test.yaml") || name.ends_with(".test.yml")
}

fn look_through(directory: &Path, found: &mut BTreeSet<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let is_hidden = name.starts_with('.') || name == "target" || name == "node_modules";
        if path.is_symlink() && path.is_dir() || is_hidden {
            continue;
        }
        if path.is_dir() {
            look_through(&path, found)?;
        } else if is_case_file(&path) && path.is_file() {
            found.insert(path);
        }
    }
    Ok(())
}

/// A file that cannot be read, and why not.
pub type Unreadable = (PathBuf, Box<Invalid>);

/// Reads the files; those with problems, and those without.
pub fn read(files: &[PathBuf]) -> (Vec<CaseFile>, Vec<Unreadable>) {
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for file in files {
        match language::read(file) {
            Ok(file) => good.push(file),
            Err(invalid) => bad.push((file.clone(), invalid)),
        }
    }
    (good, bad)
}

/// The files whose configurations cannot be used, with the first case of each, and why.
fn unfit(
    files: &[CaseFile],
    all: &[Number],
    registry: &Registry,
) -> BTreeMap<usize, (usize, String)> {
    let mut unfit = BTreeMap::new();
    let mut checked = BTreeSet::new();
    for &(file, case) in all {
        if checked.insert(file)
            && let Some(why) = driver::check(&files[file], registry)
        {
            unfit.insert(file, (case, why));
        }
    }
    unfit
}

/// Runs the cases whose names have `only` in them, on as many threads as there are processors.
pub fn run(files: &[CaseFile], only: Option<&str>, registry: &Registry) -> Vec<Ran> {
    let all = wanted(files, only);
    let unfit = unfit(files, &all, registry);
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    #[expect(
        clippy::disallowed_methods,
        reason = "how long a case takes is told in real time"
    )]
    let now = Instant::now;
    let work = || {
        while let Some(&(file, case)) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
            let started = now();
            let (run, skipped) = match unfit.get(&file) {
                None => (
                    driver::run(&files[file], &files[file].cases[case], registry),
                    None,
                ),
                Some((first, why)) if *first == case => (Run::broken(why.clone()), None),
                Some(_) => (
                    Run::default(),
                    Some("its configuration cannot be used".to_owned()),
                ),
            };
            done.lock().push(Ran {
                file,
                case,
                run,
                skipped,
                took: started.elapsed(),
            });
        }
    };
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 1..workers.min(all.len()) {
            scope.spawn(work);
        }
        work();
    });
    let mut done = done.into_inner();
    done.sort_by_key(|ran| (ran.file, ran.case));
    done
}

/// Runs the cases whose names have `only` in them against a gateway elsewhere, one after the other. Those that need what
/// only a world of their own has, or more time than `longest`, are skipped.
pub async fn run_against(
    files: &[CaseFile],
    only: Option<&str>,
    registry: &Registry,
    (there, backends, longest): (&There, &[String], Duration),
) -> Vec<Ran> {
    let mut all = wanted(files, only);
    // Those in which a backend fails come last: the gateway may then leave it alone for a while.
    all.sort_by_key(|(file, case)| against::fails(&files[*file].cases[*case]));
    let mut done = Vec::new();
    for (file, case) in all {
        let own = &files[file].cases[case];
        let started = now();
        let skipped = against::needs(own, backends, longest);
        let run = match &skipped {
            Some(_) => Run::default(),
            None => Box::pin(driver::run_against(&files[file], own, registry, there)).await,
        };
        done.push(Ran {
            file,
            case,
            run,
            skipped,
            took: started.elapsed(),
        });
    }
    done.sort_by_key(|ran| (ran.file, ran.case));
    done
}

/// Real time, in which it is told how long a case takes.
#[expect(clippy::disallowed_methods, reason = "the time of cases is another")]
fn now() -> Instant {
    Instant::now()
}
