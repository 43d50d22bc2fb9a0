//! A folder of documents that change.

mod grants;
mod refused;

use std::fs;

use linkgate_filter::problem::Problems;
use linkgate_filter::{Filter, FilterType, Never, Open, Prepare, Properties, Registry};

use super::*;

/// Ends a pipeline.
struct End;

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct NoConfig {}

impl FilterType for End {
    const NAME: &'static str = "end";
    type Config = NoConfig;
    type Filter = Self;

    fn prepare(_: NoConfig, _: &Prepare<'_>) -> Result<Self, Problems> {
        Ok(Self)
    }

    fn properties(&self) -> Properties {
        Properties::new().terminal()
    }

    fn filter(&self, _: &Open<'_>) -> Self {
        Self
    }
}

impl Filter for End {
    type Token = Never;
    type Timer = Never;
    type Waited = Never;
    type Done = Never;
}

const PLATFORM: &str = "schema: 1
listeners: [{ name: public, address: 127.0.0.1:8080, auth: insecure_query }]
profiles: { standard: [{ use: end, config: {} }] }
";

fn business(biz_id: &str) -> String {
    format!(
        "schema: 1\npipelines: [{{ biz_id: {biz_id}, listeners: [public], profile: standard }}]\n"
    )
}

struct Folder {
    folder: tempfile::TempDir,
    good: LastGood,
    kept: BTreeMap<PathBuf, Vec<u8>>,
}

impl Folder {
    fn new() -> Self {
        let folder = Self {
            folder: tempfile::tempdir().unwrap(),
            good: LastGood::new(),
            kept: BTreeMap::new(),
        };
        folder.write("platform.yaml", PLATFORM);
        folder.write("chat.yaml", &business("chat"));
        folder.write("shop.yaml", &business("shop"));
        folder
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.folder.path().join(name), text).unwrap();
    }

    fn remove(&self, name: &str) {
        fs::remove_file(self.folder.path().join(name)).unwrap();
    }

    fn load(&self) -> Result<Standing, Box<Invalid>> {
        let origin = Origin {
            kept: self.kept.clone(),
            ..Origin::paths(&[self.folder.path().to_owned()])
        };
        let registry = Registry::new().with::<End>();
        load(&origin, &registry, &self.good, BTreeMap::new())
    }

    /// Loads, and remembers what is good. Gives the businesses that run, and the documents that are refused.
    fn step(&mut self) -> (Vec<String>, Vec<String>) {
        let standing = self.load().unwrap_or_else(|invalid| panic!("{invalid}"));
        self.good = standing.good;
        self.kept = standing.kept;
        let pipelines = standing.config.pipelines.iter();
        let refused = standing
            .documents
            .iter()
            .filter(|own| own.refused.is_some());
        let name = |own: &Document| own.path.file_name().unwrap().to_str().unwrap().to_owned();
        (
            pipelines.map(|pipeline| pipeline.biz_id.clone()).collect(),
            refused.map(name).collect(),
        )
    }
}

fn is((runs, out): (Vec<String>, Vec<String>), businesses: &[&str], refused: &[&str]) {
    assert_eq!(
        (runs.as_slice(), out.as_slice()),
        (&own(businesses)[..], &own(refused)[..])
    );
}

fn own(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[test]
fn one_wrong_document_keeps_its_last_version_and_others_advance() {
    let mut folder = Folder::new();
    is(folder.step(), &["chat", "shop"], &[]);
    folder.write("chat.yaml", "schema: 1\npipelines: [{ biz_id: ");
    folder.write("news.yaml", &business("news"));
    is(folder.step(), &["chat", "news", "shop"], &["chat.yaml"]);
    let standing = folder.load().unwrap();
    let chat = &standing.documents[0];
    assert!(!chat.hash.is_empty(), "its last version runs");
    let refused = chat.refused.as_ref().unwrap();
    assert!(refused.contains("chat.yaml:2"), "{refused}");
    folder.write("chat.yaml", &business("chat2"));
    is(folder.step(), &["chat2", "news", "shop"], &[]);
}

#[test]
fn a_wrong_document_without_a_last_version_is_left_out() {
    let mut folder = Folder::new();
    folder.write(
        "chat.yaml",
        &business("chat").replace("standard", "standart"),
    );
    is(folder.step(), &["shop"], &["chat.yaml"]);
}

#[test]
fn who_takes_away_what_others_need_is_the_one_refused() {
    let mut folder = Folder::new();
    is(folder.step(), &["chat", "shop"], &[]);
    folder.write("platform.yaml", &PLATFORM.replace("standard", "other"));
    folder.write("news.yaml", &business("news"));
    is(folder.step(), &["chat", "news", "shop"], &["platform.yaml"]);
}

#[test]
fn who_takes_the_place_of_another_is_the_one_refused() {
    let mut folder = Folder::new();
    is(folder.step(), &["chat", "shop"], &[]);
    // It comes first by name, so that the problem is seen at the one that was there.
    folder.write("a.yaml", &business("chat"));
    folder.write("news.yaml", &business("news"));
    is(folder.step(), &["chat", "news", "shop"], &["a.yaml"]);
}

#[test]
fn a_document_that_goes_takes_its_business_along() {
    let mut folder = Folder::new();
    is(folder.step(), &["chat", "shop"], &[]);
    folder.remove("shop.yaml");
    is(folder.step(), &["chat"], &[]);
    folder.write("chat.yaml", "\u{1}");
    folder.write("shop.yaml", &business("shop"));
    is(folder.step(), &["chat", "shop"], &["chat.yaml"]);
}

#[test]
fn a_file_that_is_named_has_to_be_right_at_the_start() {
    let folder = Folder::new();
    let path = folder.folder.path().join("chat.yaml");
    let origin = Origin::paths(std::slice::from_ref(&path));
    let registry = Registry::new().with::<End>();
    let load = |good: &LastGood| load(&origin, &registry, good, BTreeMap::new());
    assert!(load(&LastGood::new()).is_err(), "there is no listener");
    folder.write("chat.yaml", &format!("{PLATFORM}---\n{}", business("chat")));
    let good = load(&LastGood::new()).unwrap().good;
    folder.write("chat.yaml", "schema: 2");
    let standing = load(&good).unwrap();
    let refused = standing.documents[0].refused.as_ref().unwrap();
    assert!(refused.contains("does not read schema `2`"), "{refused}");
    assert_eq!(standing.config.pipelines.len(), 1);
}

#[test]
fn a_document_that_goes_stays_while_others_need_it() {
    let mut folder = Folder::new();
    is(folder.step(), &["chat", "shop"], &[]);
    folder.remove("platform.yaml");
    folder.write("news.yaml", &business("news"));
    is(folder.step(), &["chat", "news", "shop"], &["platform.yaml"]);
    // So it is at a start, where only the copy knows it.
    is(folder.step(), &["chat", "news", "shop"], &["platform.yaml"]);
    let standing = folder.load().unwrap();
    let refused = standing
        .documents
        .iter()
        .find_map(|own| own.refused.clone());
    assert!(refused.unwrap().contains("it is gone, and others need it"));
    folder.write("platform.yaml", PLATFORM);
    folder.remove("news.yaml");
    is(folder.step(), &["chat", "shop"], &[]);
}

#[test]
fn a_link_that_leads_nowhere_is_not_a_document_that_was_removed() {
    let mut folder = Folder::new();
    is(folder.step(), &["chat", "shop"], &[]);
    folder.remove("shop.yaml");
    let link = folder.folder.path().join("shop.yaml");
    std::os::unix::fs::symlink("shop.yaml", &link).unwrap();
    is(folder.step(), &["chat", "shop"], &["shop.yaml"]);
}

#[test]
fn what_was_fetched_is_read_where_no_file_is_named_and_stays_when_it_cannot_be_read() {
    let texts = [
        ("platform.yaml", PLATFORM.to_owned()),
        ("chat.yaml", business("chat")),
    ];
    let texts = texts.map(|(name, text)| (name.to_owned(), text));
    let mut origin = Origin {
        fetched: Some(texts.into()),
        ..Origin::default()
    };
    let registry = Registry::new().with::<End>();
    let first = load(&origin, &registry, &LastGood::new(), BTreeMap::new()).unwrap();
    assert_eq!(first.config.pipelines.len(), 1);
    origin.fetched.as_mut().unwrap().remove("chat.yaml");
    let unreadable = [("etcd:chat.yaml".into(), "not UTF-8".to_owned())];
    let then = load(&origin, &registry, &first.good, unreadable.into()).unwrap();
    assert_eq!(then.config.pipelines.len(), 1, "its last version goes on");
    assert_eq!(then.good, first.good);
}

#[test]
fn a_start_leaves_out_what_has_become_wrong_under_the_same_text() {
    let mut folder = Folder::new();
    let secret = business("chat").replace(
        "schema: 1",
        "schema: 1\nbackends: { chat: { grpc: { endpoints: [\"${file:secret}:1\"] } } }",
    );
    folder.write("chat.yaml", &secret);
    folder.write("secret", "hunter2");
    is(folder.step(), &["chat", "shop"], &[]);
    folder.remove("secret");
    is(folder.step(), &["chat", "shop"], &["chat.yaml"]);
    let origin = Origin::paths(&[folder.folder.path().to_owned()]);
    let registry = Registry::new().with::<End>();
    let begun = begin(&origin, &registry, &folder.good, &BTreeMap::new()).unwrap();
    assert_eq!(begun.config.pipelines.len(), 1);
}

#[test]
fn meaning_is_told_from_form() {
    let mut folder = Folder::new();
    let hash = |folder: &Folder| folder.load().unwrap().documents[0].hash.clone();
    let before = hash(&folder);
    folder.write(
        "chat.yaml",
        "# a comment\npipelines:\n  - listeners: [\"public\"]\n    profile: standard\n    biz_id: chat\nschema: 1\n",
    );
    assert_eq!(hash(&folder), before);
    folder.write("chat.yaml", &business("chat2"));
    assert_ne!(hash(&folder), before);
    is(folder.step(), &["chat2", "shop"], &[]);
}

#[test]
fn a_secret_that_goes_away_costs_its_own_document_alone() {
    let mut folder = Folder::new();
    folder.write("secret", "hunter2");
    let named = business("chat").replace(
        "schema: 1",
        "schema: 1\nbackends: { chat: { grpc: { endpoints: [\"${file:secret}:1\"] } } }",
    );
    folder.write("chat.yaml", &named);
    is(folder.step(), &["chat", "shop"], &[]);
    folder.remove("secret");
    folder.write("news.yaml", &business("news"));
    is(folder.step(), &["chat", "news", "shop"], &["chat.yaml"]);
    let standing = folder.load().unwrap();
    assert!(
        standing.documents[0]
            .refused
            .as_ref()
            .unwrap()
            .contains("does not exist")
    );
    folder.write("secret", "hunter3");
    is(folder.step(), &["chat", "news", "shop"], &[]);
}

#[test]
fn a_certificate_is_read_with_its_document_and_never_again() {
    let mut folder = Folder::new();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    folder.write("cert.pem", &made.cert.pem());
    folder.write("key.pem", &made.signing_key.serialize_pem());
    let secure = "schema: 1\nlisteners: [{ name: secure, address: 127.0.0.1:8443, auth: insecure_query, \
                  tls: { cert: cert.pem, key: key.pem } }]\n";
    folder.write("secure.yaml", secure);
    is(folder.step(), &["chat", "shop"], &[]);
    let before = folder.load().unwrap().config.listeners;
    for name in ["cert.pem", "key.pem"] {
        folder.remove(name);
    }
    let mut problems = Problems::new();
    before
        .iter()
        .for_each(|own| own.check_certificate(&mut problems));
    assert!(problems.is_empty(), "{problems}");

    folder.write("news.yaml", &business("news"));
    is(folder.step(), &["chat", "news", "shop"], &["secure.yaml"]);
    let standing = folder.load().unwrap();
    let refused = standing
        .documents
        .iter()
        .find_map(|own| own.refused.as_ref());
    let refused = refused.unwrap();
    assert!(
        refused.contains("cannot read the file that it names"),
        "{refused}"
    );
    assert_eq!(
        standing.config.listeners, before,
        "it goes on with what they held"
    );

    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    folder.write("cert.pem", &other.cert.pem());
    folder.write("key.pem", &other.signing_key.serialize_pem());
    is(folder.step(), &["chat", "news", "shop"], &[]);
    assert_ne!(folder.load().unwrap().config.listeners, before);
}
