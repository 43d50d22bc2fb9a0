//! Which branches of a configuration's filters its cases reach.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::driver::Branch;
use super::language::CaseFile;
use super::suite::Ran;

/// What the cases of one configuration reach.
pub struct Coverage {
    /// The configuration.
    pub config: Vec<PathBuf>,
    /// How often each branch was taken, by `bizID/filter` and name; none that cannot be reached.
    pub taken: BTreeMap<(String, String), u64>,
    /// Branches that the case file says cannot be reached, and why; those among them that were all the same.
    pub wrong: Vec<String>,
}

impl Coverage {
    /// The branches that no case takes.
    pub fn missed(&self) -> impl Iterator<Item = &(String, String)> {
        let missed = self.taken.iter().filter(|(_, count)| **count == 0);
        missed.map(|(branch, _)| branch)
    }

    /// The share of branches that are taken, in percent; 100 where there are none.
    pub fn percent(&self) -> f64 {
        let all = self.taken.len();
        let missed = self.missed().count();
        match all {
            0 => 100.0,
            #[expect(clippy::cast_precision_loss, reason = "there are few branches")]
            all => 100.0 * (all - missed) as f64 / all as f64,
        }
    }
}

/// The coverage of each configuration, over all its case files.
pub fn coverage(files: &[CaseFile], ran: &[Ran]) -> Vec<Coverage> {
    let mut all: BTreeMap<&[PathBuf], Coverage> = BTreeMap::new();
    for (number, file) in files.iter().enumerate() {
        let own = all.entry(&file.config).or_insert_with(|| Coverage {
            config: file.config.clone(),
            taken: BTreeMap::new(),
            wrong: Vec::new(),
        });
        for ran in ran.iter().filter(|ran| ran.file == number) {
            for branch in &ran.run.counted {
                *own.taken.entry(name(branch)).or_default() += branch.count;
            }
        }
        for branch in file.unreachable.keys() {
            let Some((place, name)) = branch.split_once(": ") else {
                own.wrong.push(format!(
                    "`{branch}` is no branch: write `bizID/filter: name`"
                ));
                continue;
            };
            match own.taken.remove(&(place.to_owned(), name.to_owned())) {
                Some(0) => {}
                Some(_) => own.wrong.push(format!(
                    "`{branch}` is said to be out of reach, and a case takes it"
                )),
                None => own.wrong.push(format!(
                    "`{branch}` is said to be out of reach, and there is no such branch"
                )),
            }
        }
    }
    all.into_values().collect()
}

fn name(branch: &Branch) -> (String, String) {
    (
        format!("{}/{}", branch.biz_id, branch.filter),
        branch.name.clone(),
    )
}
