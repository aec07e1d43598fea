//! A system in a directory.

use std::fs;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use boot_format::KernelArgs;
use composefs::Store;
use composefs_format::{Algorithm, Attributes, Digest, File, ImageTree};
use composefs_root::{RootArgument, RootOrigin, RootRequest, Roots, RunningRoot};
use tempfile::TempDir;
use tree::{Dir, Name, Node};

const META: u32 = 0o755;

fn attributes(permissions: u32) -> Attributes {
    Attributes {
        permissions,
        ..Attributes::default()
    }
}

fn put(tree: &mut ImageTree, path: &str, content: &[u8]) {
    let (dirs, name) = path.rsplit_once('/').unwrap_or(("", path));
    let mut at = tree;
    for part in dirs.split('/').filter(|part| !part.is_empty()) {
        let name = Name::new(part.as_bytes()).unwrap();
        let dir = || Node::Dir(Dir::new(attributes(META)));
        at = match at.children.entry(name).or_insert_with(dir) {
            Node::Dir(dir) => dir,
            Node::Leaf(_) => panic!("{path}"),
        };
    }
    let file = File::Inline(attributes(0o644), content.to_vec());
    at.children
        .insert(Name::new(name.as_bytes()).unwrap(), Node::Leaf(file));
}

fn tree(version: &str, kernel: &str, conf: &str) -> ImageTree {
    let mut tree = Dir::new(attributes(META));
    let modules = "usr/lib/modules/6.1";
    put(&mut tree, &format!("{modules}/vmlinuz"), kernel.as_bytes());
    put(&mut tree, &format!("{modules}/initramfs.img"), b"initramfs");
    let release = format!("PRETTY_NAME=\"OS {version}\"\nVERSION_ID={version}\n");
    put(&mut tree, "usr/lib/os-release", release.as_bytes());
    put(&mut tree, "etc/conf", conf.as_bytes());
    put(&mut tree, "etc/other", b"other");
    put(&mut tree, "var/lib/first", b"of the image");
    tree
}

/// A unified kernel image with this command line, as the specification of its format lays it out.
fn unified(line: &str) -> Vec<u8> {
    let sections: [(&[u8], &[u8]); 3] = [
        (b".cmdline", line.as_bytes()),
        (b".linux", b"the kernel"),
        (b".initrd", b"the initramfs"),
    ];
    let (header, table) = (0x40, 0x58);
    let mut bytes = vec![0; 512];
    bytes[..2].copy_from_slice(b"MZ");
    bytes[0x3c] = header;
    bytes[0x40..0x44].copy_from_slice(b"PE\0\0");
    bytes[0x46] = 3;
    for (index, (name, content)) in sections.into_iter().enumerate() {
        let (at, offset) = (table + index * 40, u32::try_from(bytes.len()).unwrap());
        let size = u32::try_from(content.len()).unwrap().to_le_bytes();
        bytes[at..at + name.len()].copy_from_slice(name);
        bytes[at + 8..at + 12].copy_from_slice(&size);
        bytes[at + 16..at + 20].copy_from_slice(&size);
        bytes[at + 20..at + 24].copy_from_slice(&offset.to_le_bytes());
        bytes.extend_from_slice(content);
    }
    bytes
}

/// A system in a directory.
pub(crate) struct System {
    root: PathBuf,
    store: Store,
    _scratch: Option<TempDir>,
}

impl System {
    pub(crate) fn new() -> Self {
        let scratch = tempfile::tempdir().unwrap();
        fs::create_dir(scratch.path().join("boot")).unwrap();
        let system = Self::at(scratch.path());
        Self {
            _scratch: Some(scratch),
            ..system
        }
    }

    /// The one in this directory, which stays.
    pub(crate) fn at(root: &Path) -> Self {
        let dir = open(root);
        let store = Store::ensure(dir.as_fd(), Path::new("composefs"), Algorithm::Sha512).unwrap();
        Self {
            root: root.to_owned(),
            store,
            _scratch: None,
        }
    }

    /// An image of a version, with this kernel and this in `/etc/conf`.
    pub(crate) fn image(&self, version: &str, kernel: &str, conf: &str) -> Digest {
        self.store_tree(&tree(version, kernel, conf))
    }

    /// The same, with a unified kernel image that boots `root`, which need not be verified where `mark` says so.
    pub(crate) fn image_with_uki(&self, version: &str, mark: &str, root: &Digest) -> Digest {
        let mut tree = tree(version, "kernel", "conf");
        let uki = unified(&format!("rw quiet composefs={mark}{root}"));
        put(&mut tree, "boot/EFI/Linux/os.efi", &uki);
        self.store_tree(&tree)
    }

    fn store_tree(&self, tree: &ImageTree) -> Digest {
        let image = composefs_format::image(tree, self.store.version()).unwrap();
        self.store.add_image(&image, None).unwrap()
    }

    pub(crate) fn roots(&self) -> Roots {
        Roots::open(open(&self.root), None).unwrap()
    }

    /// As what runs, with the physical root below `/sysroot`, which here is all there is.
    pub(crate) fn running(&self, id: Digest, run: &Path) -> Roots {
        let root = self.path(&format!("state/deploy/{id}"));
        let running = RunningRoot {
            kernel_args: KernelArgs::new(),
            run: open(run),
            root: open(&root),
            argument: RootArgument {
                digest: id,
                unverified: true,
            },
        };
        Roots::open(open(&self.root), Some(running)).unwrap()
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    pub(crate) fn etc(&self, id: &Digest, name: &str) -> PathBuf {
        self.path(&format!("state/deploy/{id}/etc/{name}"))
    }

    /// What the menu shows, first entry first.
    pub(crate) fn titles(&self) -> Vec<String> {
        let menu = self.roots().menu().unwrap();
        menu.iter()
            .map(|entry| entry.title().unwrap().to_owned())
            .collect()
    }
}

pub(crate) fn open(path: &Path) -> OwnedFd {
    fs::File::open(path).unwrap().into()
}

pub(crate) fn request(id: Digest, args: Option<&str>) -> RootRequest {
    RootRequest {
        id,
        with_boot: None,
        origin: RootOrigin::of_image("ostree-unverified-registry:example.org/os", None),
        kernel_args: args.map(KernelArgs::parse),
        retain: false,
        locked: false,
    }
}

pub(crate) fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}
