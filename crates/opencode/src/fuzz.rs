//! What the tests share that make their own input.

use proptest::prelude::*;

/// As many cases as `PROPTEST_CASES` says, from the seed `PROPTEST_RNG_SEED`: `cargo xtask fuzz` sets both, and
/// `.cargo/config.toml` the seed of every other run. A failure is printed, and becomes a case by hand.
pub(crate) fn config() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::default() }
}

/// Text with what tends to go wrong: control characters, wide ones, ends of lines, and words that look like keys.
pub(crate) fn texts() -> impl Strategy<Value = String> {
    prop_oneof![
        2 => "[ -~]{0,20}",
        2 => "\\PC{0,12}",
        1 => "(grün|🌱|\u{0}|\u{1b}|\u{85}|\u{2028}|\u{feff}|\u{7f}|\t|e\u{301}){1,8}",
        1 => Just("data: x".to_owned()),
    ]
}
