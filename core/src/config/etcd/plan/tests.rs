use proptest::prelude::*;

use super::super::snapshot::Document;
use super::*;

fn keys() -> Keys {
    Keys::new("/p")
}

fn texts(documents: &[(&str, &str)]) -> BTreeMap<String, String> {
    let owned = |(name, text): &(&str, &str)| ((*name).to_owned(), (*text).to_owned());
    documents.iter().map(owned).collect()
}

fn snapshot(documents: &[(&str, &str)]) -> Snapshot {
    let known = |(name, text): &(&str, &str)| {
        let document = Document::new(text.as_bytes(), 7);
        ((*name).to_owned(), document)
    };
    Snapshot {
        revision: 9,
        documents: documents.iter().map(known).collect(),
        head: None,
    }
}

fn head(generation: u64, documents: &BTreeMap<String, String>) -> Head {
    Head {
        generation,
        at: 1,
        by: "anna".to_owned(),
        note: String::new(),
        documents: hashes(documents),
    }
}

fn plan(past: &Past, before: &[(&str, &str)], after: &[(&str, &str)], first: &[&str]) -> Plan {
    let snapshot = snapshot(before);
    let documents = texts(after);
    let head = head(past.next_generation(&snapshot), &documents);
    let first: Vec<String> = first.iter().map(|name| (*name).to_owned()).collect();
    Plan::new(&keys(), past, &snapshot, &documents, &first, &head)
}

#[test]
fn only_what_differs_is_written_and_what_others_need_comes_first() {
    let plan = plan(
        &Past::default(),
        &[("a", "1"), ("b", "1"), ("old", "1")],
        &[("a", "1"), ("b", "2"), ("new", "1"), ("platform", "1")],
        &["platform", "a", "unknown"],
    );
    let touched: Vec<_> = plan
        .documents
        .iter()
        .map(|one| (one.name.as_str(), one.version, one.is_removed()))
        .collect();
    let expected = [
        ("platform", 0, false),
        ("b", 7, false),
        ("new", 0, false),
        ("old", 7, true),
    ];
    assert_eq!(touched, expected);
    // Equal texts are one blob.
    assert_eq!(plan.blobs.len(), 2);
    assert!(plan.fits() && plan.prune.is_empty());
}

#[test]
fn ten_generations_and_their_texts_are_kept() {
    let mut past = Past::default();
    for generation in 1..=12 {
        let documents = texts(&[("a", &format!("text {generation}"))]);
        let head = head(generation, &documents);
        past.blobs.extend(head.documents.values().cloned());
        past.generations.insert(generation);
        past.history.push(head);
    }
    let plan = plan(&past, &[], &[("a", "text 1")], &[]);
    let pruned: BTreeSet<String> = plan
        .prune
        .iter()
        .map(|step| match step {
            Step::Delete { key } => key.clone(),
            Step::Put { key, .. } | Step::PutUnder { key, .. } => panic!("{key} is written"),
        })
        .collect();
    // Generation 13 comes; 4 to 12 stay with it, and what 13 uses again stays too.
    let mut expected: BTreeSet<String> = (1..=3).map(|number| keys().generation(number)).collect();
    expected.extend((2..=3).map(|number| keys().blob(&hash(&format!("text {number}")))));
    assert_eq!(pruned, expected);
    assert!(plan.blobs.is_empty(), "the text is there already");
    assert_eq!(past.next_generation(&snapshot(&[])), 13);
}

proptest! {
    /// Nothing is left out, doubled or put in another order, and each part fits.
    #[test]
    fn parts_hold_everything_in_order(sizes in prop::collection::vec(0_usize..1_048_576, 0..12), many in 0_usize..400) {
        let sizes = sizes.into_iter().chain(std::iter::repeat_n(10, many));
        let steps: Vec<Step> = sizes
            .enumerate()
            .map(|(number, size)| Step::Put { key: number.to_string(), value: "x".repeat(size) })
            .collect();
        let parts = transactions(steps.clone());
        for part in &parts {
            prop_assert!(!part.is_empty() && part.len() <= MOST_OPERATIONS);
            prop_assert!(part.iter().map(Step::weight).sum::<usize>() <= MOST_BYTES);
        }
        prop_assert_eq!(parts.concat(), steps);
    }
}
