//! Any bytes are a policy or a typed error, and any path has an answer.

use file_contexts::{Config, FileContextSources, Policy};
use proptest::collection::vec;
use proptest::prelude::*;

/// Lines that look like specifications, made of what patterns are made of.
fn line() -> impl Strategy<Value = String> {
    let pattern = r"/?[ab/.*+?|()\[\]{}^$\\<>&~:,0-9dwshvQEbxk!=-]{0,12}";
    (
        pattern,
        prop_oneof![Just(""), Just("--"), Just("-d"), Just("-q")],
    )
        .prop_map(|(pattern, flag)| format!("{pattern} {flag} u:r:t:s0"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn lines_parse_or_fail(lines in vec(line(), 1..4), path in vec(any::<u8>(), 0..20), mode: u32) {
        let text = lines.join("\n");
        if let Ok(policy) = Policy::parse(FileContextSources {
            file_contexts: text.as_bytes(),
            subs: Some(text.as_bytes()),
            ..FileContextSources::default()
        }) {
            let label = policy.label(&path, mode);
            prop_assert!(label.is_none_or(|label| label == "u:r:t:s0"));
        }
    }

    #[test]
    fn bytes_parse_or_fail(bytes in vec(any::<u8>(), 0..200)) {
        let _ = Policy::parse(FileContextSources {
            file_contexts: &bytes,
            subs_dist: Some(&bytes),
            ..FileContextSources::default()
        }).map(|policy| policy.label(&bytes, 0).map(str::len));
        let _ = Config::parse(&bytes).map(|config| config.policy_files());
    }
}
