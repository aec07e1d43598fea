use super::*;

fn registries(files: &[&str]) -> Registries {
    let mut registries = Registries::default();
    for (n, text) in files.iter().enumerate() {
        registries
            .add(&format!("{n}.conf"), text.as_bytes())
            .unwrap();
    }
    registries
}

fn sources(registries: &Registries, name: &str) -> Vec<String> {
    let sources = registries.sources(&name.parse().unwrap()).unwrap();
    let shown = |endpoint: Endpoint| {
        let mark = if endpoint.insecure { "!" } else { "" };
        format!("{mark}{}", endpoint.name)
    };
    sources.into_iter().map(shown).collect()
}

const DIGEST: &str = "sha256:ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff";

#[test]
fn without_configuration_a_name_means_itself() {
    let none = Registries::default();
    assert_eq!(sources(&none, "quay.io/a/b"), ["quay.io/a/b"]);
    assert_eq!(sources(&none, "busybox"), ["docker.io/library/busybox"]);
}

// The example of containers-registries.conf(5), section "REMAPPING AND MIRRORING REGISTRIES".
#[test]
fn names_are_rewritten_and_mirrored_as_the_manual_says() {
    let conf = registries(&[r#"
        [[registry]]
        prefix = "example.com/foo"
        insecure = false
        location = "internal-registry-for-example.com/bar"
        [[registry.mirror]]
        location = "example-mirror-0.local/mirror-for-foo"
        [[registry.mirror]]
        location = "example-mirror-1.local/mirrors/foo"
        insecure = true
    "#]);
    assert_eq!(
        sources(&conf, "example.com/foo/image:latest"),
        [
            "example-mirror-0.local/mirror-for-foo/image:latest",
            "!example-mirror-1.local/mirrors/foo/image:latest",
            "internal-registry-for-example.com/bar/image:latest",
        ]
    );
    assert_eq!(sources(&conf, "example.com/foobar"), ["example.com/foobar"]);
    assert_eq!(sources(&conf, "example.com/f"), ["example.com/f"]);
}

#[test]
fn the_longest_prefix_is_followed() {
    let conf = registries(&[r#"
        [[registry]]
        location = "a.io"
        insecure = true
        [[registry]]
        prefix = "a.io/org/os"
        location = "b.io/os"
        [[registry]]
        prefix = "a.io/org/os:special"
        location = "c.io/os:special"
    "#]);
    assert_eq!(sources(&conf, "a.io/x:1"), ["!a.io/x:1"]);
    assert_eq!(sources(&conf, "a.io/org/os:1"), ["b.io/os:1"]);
    assert_eq!(sources(&conf, "a.io/org/os:special"), ["c.io/os:special"]);
    let pinned = format!("a.io/org/os@{DIGEST}");
    assert_eq!(sources(&conf, &pinned), [format!("b.io/os@{DIGEST}")]);
}

#[test]
fn wildcards_stand_for_hosts_below_a_domain() {
    let conf = registries(&[r#"
        [[registry]]
        prefix = "*.example.com"
        insecure = true
        [[registry]]
        prefix = "*.new.example.com"
        location = "mirror.io/all"
        [[registry]]
        location = "b.example.com"
    "#]);
    assert_eq!(
        sources(&conf, "a.example.com:5000/x:1"),
        ["!a.example.com:5000/x:1"]
    );
    assert_eq!(
        sources(&conf, "a.new.example.com/x:1"),
        ["mirror.io/all/x:1"]
    );
    assert_eq!(sources(&conf, "b.example.com/x:1"), ["b.example.com/x:1"]);
    for other in ["example.com/x", "badexample.com/x", "q.io/a.example.com/x"] {
        assert_eq!(sources(&conf, other), [other]);
    }
}

#[test]
fn mirrors_are_for_digests_or_tags() {
    let conf = registries(&[r#"
        [[registry]]
        location = "a.io"
        [[registry.mirror]]
        location = "digests.io"
        pull-from-mirror = "digest-only"
        [[registry.mirror]]
        location = "tags.io"
        pull-from-mirror = "tag-only"
        [[registry]]
        location = "b.io"
        mirror-by-digest-only = true
        [[registry.mirror]]
        location = "m.io"
    "#]);
    assert_eq!(
        sources(&conf, "a.io/x"),
        ["tags.io/x:latest", "a.io/x:latest"]
    );
    let pinned = |host: &str| format!("{host}/x@{DIGEST}");
    assert_eq!(
        sources(&conf, &pinned("a.io")),
        [pinned("digests.io"), pinned("a.io")]
    );
    assert_eq!(
        sources(&conf, &pinned("b.io")),
        [pinned("m.io"), pinned("b.io")]
    );
    assert_eq!(sources(&conf, "b.io/x:1"), ["b.io/x:1"]);
}

#[test]
fn later_files_replace_what_earlier_ones_say_about_a_prefix() {
    let conf = registries(&[
        "[[registry]]\nlocation='a.io'\n[[registry.mirror]]\nlocation='m.io'\n[aliases]\nos='x.io/os'\nb='x.io/b'",
        "[[registry]]\nlocation='a.io'\nblocked=true\n[aliases]\nos='y.io/os'\nb=''",
    ]);
    let error = conf.sources(&"a.io/x".parse().unwrap()).unwrap_err();
    assert_eq!(error.class(), ErrorClass::Untrusted);
    assert_eq!(
        error.to_string(),
        "a.io/x is blocked by 1.conf, registry a.io"
    );
    assert_eq!(conf.alias_of("os:1").as_deref(), Some("y.io/os:1"));
    assert_eq!(conf.alias_of("b"), None);
    assert_eq!(conf.alias_of("a.io/os"), None);
}

#[test]
fn helpers_stand_before_or_behind_the_files() {
    let helpers = |text: &str| registries(&[text]).credential_helpers();
    let (none, some) = (Vec::new(), |name: &str| vec![name.to_owned()]);
    assert_eq!(helpers(""), (none.clone(), none.clone()));
    assert_eq!(
        helpers("credential-helpers = ['a', 'containers-auth.json', 'b']"),
        (some("a"), some("b"))
    );
    assert_eq!(helpers("credential-helpers = ['a']"), (some("a"), none));
}

#[test]
fn what_cannot_be_followed_is_refused() {
    for bad in [
        "[[registry]]\nblocked = true",
        "[[registry]]\nprefix = 'a.io'",
        "[[registry]]\nlocation = 'https://a.io'",
        "[[registry]]\nprefix = '*.a.io/x'\nlocation = 'b.io'",
        "[[registry]]\nlocation = 'a.io'\n[[registry.mirror]]\nlocation = ''",
        "[[registry]]\nlocation = 'a.io'\n[[registry.mirror]]\nlocation = 'b.io'\npull-from-mirror = 'x'",
        "[[registry]]\nlocation = 'a.io'\nmirror-by-digest-only = true\n[[registry.mirror]]\nlocation = 'b.io'\npull-from-mirror = 'all'",
        "[[registry]",
    ] {
        let error = Registries::default().add("f", bad.as_bytes()).unwrap_err();
        assert_eq!(error.class(), ErrorClass::InvalidInput, "{bad}");
    }
    let old = "[registries.search]\nregistries = ['a.io']";
    let error = Registries::default().add("f", old.as_bytes()).unwrap_err();
    assert_eq!(error.class(), ErrorClass::Unsupported);
    let conf = registries(&["[[registry]]\nprefix = 'a.io'\nlocation = 'nohost'"]);
    let error = conf.sources(&"a.io/x".parse().unwrap()).unwrap_err();
    assert!(matches!(error, SourceError::Location { .. }), "{error}");
}
