//! What is refused brings nothing with it.

use error_class::{Classified as _, ErrorClass};
use ostree_format::{Checksum, RepoMode};
use pull::{Error, Refused, Verify};

use crate::scene::{Scene, main_ref};

/// Refuses summaries, or commits.
struct Refusing {
    summary: bool,
}

#[derive(Debug, thiserror::Error)]
#[error("not by my friends")]
struct Stranger;

impl Verify for Refusing {
    fn demands_summary(&self) -> bool {
        self.summary
    }

    fn summary(&self, _summary: &[u8], _signatures: Option<&[u8]>) -> Result<(), Refused> {
        if self.summary {
            Err(Refused(Box::new(Stranger)))
        } else {
            Ok(())
        }
    }

    fn commit(&self, _: &Checksum, _: &[u8], _: Option<&[u8]>) -> Result<(), Refused> {
        Err(Refused(Box::new(Stranger)))
    }
}

#[test]
fn nothing_of_a_refused_commit_is_stored() {
    let scene = Scene::new();
    for (name, mirror) in [("repo", false), ("mirror", true)] {
        let repo = scene.repo(name, RepoMode::Archive);
        let mut options = main_ref();
        options.mirror = mirror;
        let error = scene
            .pull_verified(&repo, &options, &Refusing { summary: false })
            .unwrap_err();
        assert_eq!(error.class(), ErrorClass::Untrusted);
        assert!(scene.objects(name).is_empty());
        assert_eq!(scene.theirs(name, &["refs"]), "");
    }
}

#[test]
fn a_refused_or_missing_summary_leads_nowhere() {
    let scene = Scene::new();
    let repo = scene.repo("repo", RepoMode::Archive);
    let refusing = Refusing { summary: true };
    let error = scene
        .pull_verified(&repo, &main_ref(), &refusing)
        .unwrap_err();
    assert!(matches!(error, Error::Refused(_)), "{error}");
    std::fs::remove_file(scene.path("srv/summary")).unwrap();
    let error = scene
        .pull_verified(&repo, &main_ref(), &refusing)
        .unwrap_err();
    assert!(matches!(error, Error::NoSignedSummary), "{error}");
    assert!(scene.objects("repo").is_empty());
}

#[test]
fn a_commit_of_a_delta_is_refused_as_well() {
    let scene = Scene::new();
    scene.theirs("srv", &["static-delta", "generate", "--empty", "main"]);
    scene.summary();
    let repo = scene.repo("repo", RepoMode::BareUser);
    let error = scene
        .pull_verified(&repo, &main_ref(), &Refusing { summary: false })
        .unwrap_err();
    assert!(matches!(error, Error::Refused(_)), "{error}");
    assert!(scene.objects("repo").is_empty());
}
