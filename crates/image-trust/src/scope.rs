//! Which scopes of a policy cover an image, the most specific first.

use oci::reference::{ImageReference, RegistryReference, Transport};

/// The word for a transport in policies.
pub(crate) fn transport_name(transport: Transport) -> &'static str {
    match transport {
        Transport::Registry => "docker",
        other => other.name(),
    }
}

/// The scopes of an image that does not come from a registry: its path, with the tag first where the
/// transport has one, and the directories above.
pub(crate) fn of_path(reference: &ImageReference) -> Vec<String> {
    let name = reference.name.as_str();
    let path = name.split(':').next().unwrap_or(name);
    match reference.transport {
        Transport::OciDir | Transport::OciArchive | Transport::LocalDir
            if path.starts_with('/') =>
        {
            let whole = (path != name).then(|| name.to_owned());
            whole.into_iter().chain(upwards(path)).collect()
        }
        _ => Vec::new(),
    }
}

fn upwards(path: &str) -> impl Iterator<Item = String> {
    std::iter::successors(Some(path), parent)
        .filter(|path| !path.is_empty())
        .map(str::to_owned)
}

fn parent<'p>(path: &&'p str) -> Option<&'p str> {
    path.rsplit_once('/').map(|(parent, _)| parent)
}

/// The scopes of an image in a registry: its full name, the repository, what the repository is below,
/// the host, and the domains above that as `*.domain`.
pub(crate) fn of_registry(name: &RegistryReference) -> Vec<String> {
    let repository = format!("{}/{}", name.registry(), name.repository());
    let full = match (name.digest(), name.tag()) {
        (Some(digest), _) => format!("{repository}@{digest}"),
        (None, tag) => format!("{repository}:{}", tag.unwrap_or("latest")),
    };
    let host = name.registry().to_owned();
    let domain = host.split(':').next().unwrap_or_default().to_owned();
    let above = std::iter::successors(Some(domain.as_str()), |domain| {
        domain.split_once('.').map(|(_, above)| above)
    });
    let wildcards: Vec<_> = above.skip(1).map(|domain| format!("*.{domain}")).collect();
    std::iter::once(full)
        .chain(upwards(&repository))
        .chain(wildcards)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_registries_are_covered_from_tag_to_domain() {
        let name = "a.b.io:5000/org/os:1".parse().unwrap();
        assert_eq!(
            of_registry(&name),
            [
                "a.b.io:5000/org/os:1",
                "a.b.io:5000/org/os",
                "a.b.io:5000/org",
                "a.b.io:5000",
                "*.b.io",
                "*.io"
            ]
        );
        let untagged = "a.io/os".parse().unwrap();
        assert_eq!(of_registry(&untagged)[0], "a.io/os:latest");
    }

    #[test]
    fn paths_are_covered_by_what_is_above_them() {
        let scopes = |text: &str| of_path(&text.parse().unwrap());
        assert_eq!(scopes("oci:/srv/os:1"), ["/srv/os:1", "/srv/os", "/srv"]);
        assert_eq!(scopes("dir:/srv/os"), ["/srv/os", "/srv"]);
        assert!(scopes("oci:relative").is_empty());
        assert!(scopes("docker-archive:/srv/os").is_empty());
    }
}
