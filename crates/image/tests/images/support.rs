//! A repository, an image directory, and what connects them.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use image::{
    ImportError, ImportOptions, Imported, PlanError, Prepared, UnencapsulateError, Unencapsulated,
};
use oci::context::Context;
use oci::manifest::Document;
use oci::platform::Platform;
use oci::reference::{ImageReference, OstreeImageReference};
use oci::source::{Error as SourceError, ImageSource};
use oci::spec::Descriptor;
use ostree::Repo;
use ostree_format::RepoMode;
use ostree_format::refs::Refspec;
use progress::{Interrupt, Silent};
use tempfile::TempDir;
use testkit::oci::{Image, LayoutBuilder};

pub(crate) struct Scene {
    pub(crate) dir: TempDir,
    pub(crate) repo: Repo,
    pub(crate) layout: LayoutBuilder,
}

/// What can go wrong between a reference and a stored image.
#[derive(Debug)]
pub(crate) enum PullError {
    Source(#[expect(dead_code, reason = "shown when a test fails")] SourceError),
    Plan(PlanError),
    Import(ImportError),
}

impl Scene {
    pub(crate) fn new() -> Self {
        Self::with_mode(RepoMode::Bare)
    }

    pub(crate) fn with_mode(mode: RepoMode) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let base: OwnedFd = File::open(dir.path()).unwrap().into();
        let repo = Repo::init_at(base.as_fd(), Path::new("repo"), mode).unwrap();
        let layout = LayoutBuilder::new(dir.path().join("image"));
        Self { dir, repo, layout }
    }

    pub(crate) fn repo_path(&self) -> PathBuf {
        self.dir.path().join("repo")
    }

    /// Put `image` under `tag` and pull it.
    pub(crate) fn pull(&mut self, tag: &str, image: &Image) -> Result<Imported, PullError> {
        self.layout.tag(tag, image);
        self.pull_reference(&self.layout.reference(tag), &ImportOptions::default())
    }

    pub(crate) fn pull_reference(
        &self,
        reference: &str,
        options: &ImportOptions,
    ) -> Result<Imported, PullError> {
        let source = open(reference).map_err(PullError::Source)?;
        self.pull_from(&*source, options, &Interrupt::default())
    }

    pub(crate) fn pull_from(
        &self,
        source: &dyn ImageSource,
        options: &ImportOptions,
        interrupt: &Interrupt,
    ) -> Result<Imported, PullError> {
        match image::prepare(&self.repo, source, options, &Silent).map_err(PullError::Plan)? {
            Prepared::AlreadyPresent(state) => panic!("{} is present", state.manifest_digest),
            Prepared::Ready(plan) => plan
                .import(&self.repo, source, options, &Silent, interrupt)
                .map_err(PullError::Import),
        }
    }

    /// Run the real `ostree` on the repository.
    pub(crate) fn ostree(&self, arguments: &[&str]) -> String {
        let mut command = testkit::command("ostree");
        command
            .arg(format!("--repo={}", self.repo_path().display()))
            .args(arguments);
        testkit::stdout(&mut command)
    }

    /// Both the real `ostree` and we find nothing wrong, and nothing is left of transactions.
    pub(crate) fn assert_clean(&self) {
        self.ostree(&["fsck", "--quiet"]);
        let report = self
            .repo
            .fsck(
                &ostree::FsckOptions::default(),
                &Silent,
                &Interrupt::default(),
            )
            .unwrap();
        assert!(report.damage.is_empty(), "{:?}", report.damage);
        let left: Vec<_> = std::fs::read_dir(self.repo_path().join("tmp"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .filter(|name| name != "cache")
            .collect();
        assert!(left.is_empty(), "{left:?}");
    }

    /// `ostree ls -R -C -X` of a commit.
    pub(crate) fn listing(&self, commit: &str) -> String {
        self.ostree(&["ls", "-R", "-C", "-X", commit])
    }
}

/// Compare two listings; only the first line that differs is shown.
pub(crate) fn assert_same_lines(ours: &str, theirs: &str) {
    let short = |line: &str| line.chars().take(300).collect::<String>();
    for (a, b) in ours.lines().zip(theirs.lines()) {
        assert_eq!(short(a), short(b));
        assert!(a == b, "the lines differ behind {}", short(a));
    }
    assert_eq!(ours.lines().count(), theirs.lines().count());
}

pub(crate) fn open(reference: &str) -> Result<Box<dyn ImageSource>, SourceError> {
    let reference = OstreeImageReference::from_user(reference).unwrap();
    let root: OwnedFd = File::open("/").unwrap().into();
    oci::source::open_verified(&reference, &Context::new(root))
}

/// Take the commit out of an image, whoever made it.
pub(crate) fn unencapsulate(
    repo: &Repo,
    source: &dyn ImageSource,
    name: Option<Refspec>,
) -> Result<Unencapsulated, UnencapsulateError> {
    let interrupt = Interrupt::default();
    image::unencapsulate(repo, source, name, |_| Ok(()), &Silent, &interrupt)
}

/// A source that counts the blobs it opens, and can raise an interrupt at one of them.
#[derive(Debug)]
pub(crate) struct Watched {
    pub(crate) inner: Box<dyn ImageSource>,
    pub(crate) opened: AtomicUsize,
    pub(crate) interrupt_at: Option<(usize, Interrupt)>,
}

impl Watched {
    pub(crate) fn new(reference: &str) -> Self {
        let (opened, interrupt_at) = (AtomicUsize::new(0), None);
        Self {
            inner: open(reference).unwrap(),
            opened,
            interrupt_at,
        }
    }

    pub(crate) fn blobs_opened(&self) -> usize {
        self.opened.load(Ordering::SeqCst)
    }
}

impl ImageSource for Watched {
    fn reference(&self) -> &ImageReference {
        self.inner.reference()
    }
    fn platform(&self) -> &Platform {
        self.inner.platform()
    }
    fn top(&self) -> Result<Document, SourceError> {
        self.inner.top()
    }
    fn document(&self, descriptor: &Descriptor) -> Result<Document, SourceError> {
        self.inner.document(descriptor)
    }
    fn open_blob(
        &self,
        descriptor: &Descriptor,
        offset: u64,
    ) -> Result<Box<dyn Read + Send>, SourceError> {
        let count = self.opened.fetch_add(1, Ordering::SeqCst) + 1;
        if let Some((at, interrupt)) = &self.interrupt_at
            && count == *at
        {
            interrupt.raise();
        }
        self.inner.open_blob(descriptor, offset)
    }
}
