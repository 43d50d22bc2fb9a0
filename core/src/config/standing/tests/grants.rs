//! What documents from etcd may name of the node.

use super::*;

/// What a document from etcd is refused for, beside a file of the node with this `config:`.
fn from_etcd(folder: &Folder, config: &str, document: &str) -> Option<String> {
    folder.write("node.yaml", &format!("schema: 1\nconfig: {config}\n"));
    let fetched = [("news.yaml".to_owned(), document.to_owned())];
    let origin = Origin {
        fetched: Some(fetched.into()),
        variables: Some([("HOST".to_owned(), "localhost".to_owned())].into()),
        ..Origin::paths(&[folder.folder.path().to_owned()])
    };
    let registry = Registry::new().with::<End>();
    let loaded = load(&origin, &registry, &LastGood::new(), BTreeMap::new()).unwrap();
    let mut documents = loaded.documents.into_iter();
    let document = documents.find(|own| own.path == Origin::fetched_path("news.yaml"));
    document.unwrap().refused
}

#[test]
fn documents_from_etcd_name_what_the_node_grants() {
    let folder = Folder::new();
    let root = folder.folder.path().join("files");
    fs::create_dir(&root).unwrap();
    fs::write(root.join("host"), "localhost").unwrap();
    folder.write("secret", "hunter2");
    std::os::unix::fs::symlink("../secret", root.join("out")).unwrap();
    std::os::unix::fs::symlink("host", root.join("in")).unwrap();
    let secret = folder.folder.path().join("secret");
    let naming = |reference: &str| {
        format!(
            "schema: 1\nbackends: {{ news: {{ grpc: {{ endpoints: [\"{reference}:1\"] }} }} }}\n"
        )
    };
    let granted = "{ files_root: files, variables: [HOST] }";
    let absolute = format!("${{file:{}}}", root.join("host").display());
    for reference in [
        "${file:host}",
        "${file:in}",
        &absolute,
        "${HOST}",
        "${HOST:-x}",
    ] {
        let refused = from_etcd(&folder, granted, &naming(reference));
        assert_eq!(refused, None, "{reference}");
    }
    let nothing = "{ variables: [] }";
    let outside = format!("${{file:{}}}", secret.display());
    for (config, reference, said) in [
        (nothing, "${file:host}", "files_root"),
        (nothing, "${HOST}", "variables: [HOST]"),
        (nothing, "${HOST:-x}", "variables: [HOST]"),
        (granted, "${HOSTS}", "variables: [HOSTS]"),
        (granted, "${file:../secret}", "is not below"),
        (granted, "${file:out}", "is not below"),
        (granted, &*outside, "is not below"),
        (granted, "${file:nowhere}", "`config.files_root`"),
    ] {
        let refused = from_etcd(&folder, config, &naming(reference)).unwrap();
        assert!(refused.contains(said), "{reference}: {refused}");
        assert!(!refused.contains("hunter2"), "{refused}");
    }
    let certified: fn(&str) -> String = |ca| {
        format!(
            "schema: 1\nbackends: {{ news: {{ grpc: {{ endpoints: [\"localhost:1\"], tls: {{ ca: {ca} }} }} }} }}\n"
        )
    };
    let served: fn(&str) -> String = |cert| {
        format!(
            "schema: 1\nlisteners: [{{ name: tls, address: \"127.0.0.1:0\", auth: insecure_query, tls: {{ cert: {cert}, key: host }} }}]\n"
        )
    };
    for document in [certified, served] {
        let refused = from_etcd(&folder, granted, &document("host")).unwrap_or_default();
        assert!(
            !refused.contains("files_root") && !refused.contains("is not below"),
            "{refused}"
        );
        for (config, path, said) in [
            (granted, "/etc/passwd", "is not below"),
            (granted, "out", "is not below"),
            (nothing, "host", "files_root"),
        ] {
            let refused = from_etcd(&folder, config, &document(path)).unwrap();
            assert!(refused.contains(said), "{path}: {refused}");
        }
    }
    for property in [
        "ssl.ca.location: /etc/passwd",
        "sasl.kerberos.kinit.cmd: reboot",
        "sasl.oauthbearer.assertion.private.key.file: host",
        "ssl.engine.id: x",
    ] {
        let document = format!(
            "schema: 1\nbrokers: {{ main: {{ kafka: {{ bootstrap: \"localhost:1\", properties: {{ {property} }} }} }} }}\n"
        );
        let refused = from_etcd(&folder, granted, &document).unwrap();
        assert!(refused.contains("a document in etcd cannot"), "{refused}");
    }
    let harmless = "schema: 1\nbrokers: { main: { kafka: { bootstrap: \"localhost:1\", \
                    properties: { socket.keepalive.enable: true, client.rack: a } } } }\n";
    assert_eq!(from_etcd(&folder, granted, harmless), None);
    let document = "schema: 1\nconfig: { files_root: / }\n";
    let refused = from_etcd(&folder, granted, document).unwrap();
    assert!(refused.contains("a document in etcd cannot"), "{refused}");
}
