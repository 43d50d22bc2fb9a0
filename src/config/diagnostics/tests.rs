use super::*;

/// What is shown of a problem at `a: 1`.
fn shown(prepare: impl FnOnce(&mut Diagnostics, Span)) -> String {
    let mut sources = Sources::default();
    let file = sources.push("test.yaml", "a: 1\n");
    let span = Span {
        file,
        start: 3,
        end: 4,
    };
    let mut diagnostics = Diagnostics::default();
    prepare(&mut diagnostics, span);
    diagnostics.render(&sources, false)
}

#[test]
fn a_problem_is_shown_with_its_line_and_a_caret() {
    let shown =
        shown(|diagnostics, span| diagnostics.push(Diagnostic::at(span, "wrong").hint("mend it")));
    let expected = "error: wrong\n --> test.yaml:1:4\n  |\n1 | a: 1\n  |    ^\n  |\n  = help: mend it\n\n1 problem in 1 file\n";
    assert_eq!(shown, expected);
}

#[test]
fn secrets_are_blacked_out_in_every_form_they_take() {
    let shown = shown(|diagnostics, span| {
        diagnostics.hide("line one\n\"line two\"\n");
        diagnostics.hide("line");
        diagnostics.hide("at");
        let message = format!(
            "{:?}, `line one\n\"line two\"`, `line`, `at`, at that",
            "line one\n\"line two\"\n"
        );
        diagnostics.push(
            Diagnostic::at(span, message)
                .hint("not `line`")
                .also(span, "nor \"at\""),
        );
    });
    assert!(!shown.contains("line"), "{shown}");
    assert!(shown.contains("`(secret)`, at that"), "{shown}");
    assert!(shown.contains("nor \"(secret)\""), "{shown}");
}

#[test]
fn a_message_does_not_steer_the_terminal() {
    let shown =
        shown(|diagnostics, span| diagnostics.push(Diagnostic::at(span, "`\u{1b}[31m\u{7}`")));
    assert!(shown.contains(r"`\u{1b}[31m\u{7}`"), "{shown}");
}

#[test]
fn nothing_more_is_said_of_a_value_that_cannot_be_known() {
    let shown = shown(|diagnostics, span| {
        diagnostics.push_last(span, Diagnostic::at(span, "not set"));
        diagnostics.push(Diagnostic::at(span, "not a number"));
    });
    assert!(
        shown.contains("not set") && !shown.contains("not a number"),
        "{shown}"
    );
}

#[test]
fn what_seems_undefined_is_not_reported_if_a_file_was_not_read() {
    let shown = shown(|diagnostics, span| {
        diagnostics.push_unread(Diagnostic::file(Path::new("other.yaml"), "unreadable"));
        diagnostics.push_undefined(Diagnostic::at(span, "undefined"));
    });
    assert!(!shown.contains("undefined"), "{shown}");
}

#[test]
fn a_dump_holds_no_message() {
    let mut diagnostics = Diagnostics::default();
    diagnostics.hide("hidden");
    diagnostics.push(Diagnostic::file(Path::new("a"), "`hidden`"));
    assert!(!format!("{diagnostics:?}").contains("hidden"));
}
