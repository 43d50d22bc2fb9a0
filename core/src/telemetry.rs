//! How the program speaks of itself: what logs and metrics share.
//! No room's own lines or metrics live here; those stay beside what they tell of.

#[cfg(test)]
pub(crate) mod captured;
pub mod limit;
pub mod panics;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    /// The lines of `source` on which a log line gets a field `message`. In JSON it would stand beside the line's own
    /// words under the same key, and readers keep either.
    fn second_messages(source: &str) -> Vec<usize> {
        let mut found = Vec::new();
        for level in ["trace!(", "debug!(", "info!(", "warn!(", "error!("] {
            for (at, _) in source.match_indices(level) {
                let fields = &source[at + level.len()..];
                let fields = &fields[..fields.find('"').unwrap_or(fields.len())];
                let fields = &fields[..fields.find(';').unwrap_or(fields.len())];
                let second = fields.split(',').map(str::trim).any(|field| {
                    let (name, value) = field.split_once('=').unwrap_or((field, "x"));
                    !value.starts_with('=')
                        && name.trim().trim_start_matches(['%', '?']) == "message"
                });
                if second {
                    found.push(source[..at].lines().count());
                }
            }
        }
        found
    }

    fn look_through(folder: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                look_through(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let lines = second_messages(&fs::read_to_string(&path).unwrap());
                found.extend(
                    lines
                        .iter()
                        .map(|line| format!("{}:{line}", path.display())),
                );
            }
        }
    }

    #[test]
    fn no_log_line_has_two_messages() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let mut found = Vec::new();
        for folder in ["client", "conformance", "core", "filters", "grpc", "src"] {
            look_through(&root.join(folder), &mut found);
        }
        assert!(found.is_empty(), "name the field otherwise: {found:?}");
    }

    #[test]
    fn a_second_message_is_found_however_it_is_written() {
        let line = |fields: &str| format!("fn f() {{\n    tracing::warn{}({fields});\n}}\n", '!');
        for fields in [
            "message = ?failure.message, \"a try failed\"",
            "code = 1,\n        %message,\n        \"a try failed\"",
        ] {
            assert_eq!(second_messages(&line(fields)), [2], "{fields}");
        }
        assert!(second_messages(&line("said = ?message, \"the message = x\"")).is_empty());
    }
}
