//! Businesses of documents that are refused.

use super::*;

#[test]
fn businesses_of_refused_documents_are_not_unknown() {
    let folder = Folder::new();
    let refused = |folder: &Folder| {
        let config = folder.load().unwrap().config;
        let businesses: Vec<_> = config.refused.businesses.into_iter().collect();
        (businesses, config.refused.others)
    };
    assert_eq!(refused(&folder), (vec![], false));
    // Readable, and wrong for other reasons.
    folder.write("news.yaml", &business("news").replace("standard", "none"));
    folder.write(
        "game.yaml",
        "schema: 1\npipelines: [{ biz_id: game, listeners: \"${file:gone}\", extra: 1 }]\n",
    );
    assert_eq!(refused(&folder), (own(&["game", "news"]), false));
    // Whatever it says: there may be a business.
    for text in [
        "schema: 1\npipelines: [{ biz_id: ",
        "schema: 99\npipelines: []\n",
        "schema: 1\npipelines: [{ biz: news }]\n",
        "schema: 1\npipelines: news\n",
    ] {
        folder.write("news.yaml", text);
        assert_eq!(refused(&folder), (own(&["game"]), true), "{text}");
    }
}

#[test]
fn a_business_that_is_new_in_a_refused_document_is_not_unknown() {
    let mut folder = Folder::new();
    is(folder.step(), &["chat", "shop"], &[]);
    let both = format!(
        "{}---\n{}",
        business("chat"),
        business("news").replace("standard", "none")
    );
    folder.write("chat.yaml", &both);
    let standing = folder.load().unwrap();
    assert_eq!(
        standing.config.refused.businesses,
        ["chat", "news"].map(String::from).into()
    );
    is(folder.step(), &["chat", "shop"], &["chat.yaml"]);
}
