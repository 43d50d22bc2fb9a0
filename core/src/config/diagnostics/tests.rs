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
fn secrets_are_left_out_of_messages_and_lines() {
    let mut sources = Sources::default();
    let file = sources.push("test.yaml", "{ token: hunter2, size: x }\n");
    let span = |start, end| Span { file, start, end };
    let mut diagnostics = Diagnostics::default();
    diagnostics.hide("hunter2", "(secret)");
    let problem = Diagnostic::at(span(9, 16), "not `hunter2`").hint("nor `hunter2`");
    diagnostics.push(problem.also(span(24, 25), "as hunter2"));
    let shown = diagnostics.render(&sources, false);
    assert!(!shown.contains("hunter2"), "{shown}");
    let lines: Vec<&str> = shown.lines().collect();
    // The column of the file, not of the line as it is shown.
    assert_eq!(lines[1], " --> test.yaml:1:10", "{shown}");
    assert_eq!(lines[3], "1 | { token: ***, size: x }", "{shown}");
    assert_eq!(lines[4], "  |          ^^^        - as (secret)", "{shown}");
    let mut diagnostics = Diagnostics::default();
    diagnostics.push(Diagnostic::at(span(24, 25), "not a size"));
    let shown = diagnostics.render(&sources, false);
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines[1], " --> test.yaml:1:25", "{shown}");
    assert_eq!(lines[4], "  |                     ^", "{shown}");
    let coloured = diagnostics.render(&sources, true);
    assert!(coloured.contains("test.yaml:1:25"), "{coloured:?}");
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
fn many_problems_are_gathered_and_shown_quickly() {
    let shown = shown(|diagnostics, span| {
        for start in (0..100_000).chain(0..100_000) {
            diagnostics.push(Diagnostic::at(Span { start, ..span }, "wrong"));
        }
    });
    assert!(shown.ends_with("\n100000 problems in 1 file\n"), "{shown}");
}

#[test]
fn a_dump_holds_no_message() {
    let mut diagnostics = Diagnostics::default();
    diagnostics.hide("hidden", "(secret)");
    diagnostics.push(Diagnostic::file(Path::new("a"), "`hidden`"));
    assert!(!format!("{diagnostics:?}").contains("hidden"));
}
