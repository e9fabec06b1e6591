//! Whether a page of the audit log takes longer when there are a million events.

use std::process::Command;

use serde_json::Value;

use super::{Options, figure::Figure};

pub(crate) fn measure(options: &Options) -> Vec<Figure> {
    let output = Command::new(&options.audit_pages).output().expect("the program starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let found: Value = serde_json::from_slice(&output.stdout).expect("it prints JSON");
    let number = |name: &str| found[name].as_f64().expect("it measured");
    vec![Figure::new(
        "the slowest page of 1,000,000 audit events",
        (number("slowest_ms") / number("first_ms"), "×"),
        2.0,
        format!(
            "the first page of 1,000 events, median: {:.2} ms to {:.2} ms, {} pages",
            number("slowest_ms"),
            number("first_ms"),
            found["pages"]
        ),
        found.clone(),
    )]
}
