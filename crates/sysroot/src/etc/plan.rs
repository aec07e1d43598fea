//! What is carried over, as a value.

use serde::Serialize;
use tree::{Name, Node};

use super::model::{EtcPath, Walk, dir_mut, node, walk};
use super::tree::{EtcLeaf, EtcTree};

/// What is carried over from one deployment's `/etc` to the next. Paths are relative to `/etc` and
/// escaped where they are not printable.
#[derive(Debug, Clone, Serialize)]
pub struct EtcPlan {
    /// Changed since the deployment was made.
    pub modified: Vec<String>,
    /// Removed since then.
    pub removed: Vec<String>,
    /// Added since then; of an added directory only itself.
    pub added: Vec<String>,
    /// Where the new default differs as well; the local state wins.
    pub conflicts: Vec<EtcConflict>,
    /// What makes carrying over impossible.
    pub blocks: Vec<EtcBlock>,
    /// What is done, step by step.
    #[serde(skip)]
    pub(super) actions: Vec<Action>,
    /// What comes out.
    #[serde(skip)]
    pub(super) merged: EtcTree,
}

/// A local change meets a change of the default.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
#[non_exhaustive]
pub enum EtcConflict {
    /// Changed or added on both sides; the local one is kept.
    #[error("{path} was changed in the new default as well; the local one is kept")]
    BothChanged {
        /// Where.
        path: String,
    },
    /// Changed locally, gone from the default; kept.
    #[error("{path} is gone from the new default; the local one is kept")]
    DefaultRemoved {
        /// Where.
        path: String,
    },
    /// Removed locally, changed in the default; stays removed.
    #[error("{path} was changed in the new default, but stays removed")]
    StaysRemoved {
        /// Where.
        path: String,
    },
    /// Owner or permissions of a directory were changed locally; those of the default are taken.
    #[error("owner and mode of {path} are those of the new default")]
    AttributesDropped {
        /// Where.
        path: String,
    },
    /// A device, pipe or socket; left behind.
    #[error("{path} is a device, pipe or socket and is left behind")]
    Ignored {
        /// Where.
        path: String,
    },
}

/// Something in the new default that is in the way of a local change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
#[non_exhaustive]
pub enum EtcBlock {
    /// A file or link was put where the default now has a directory.
    #[error("Modified config file newly defaults to directory: /etc/{path}")]
    NowDirectory {
        /// Where.
        path: String,
    },
    /// What should hold the change is no directory in the default.
    #[error("/etc/{path}, which holds local changes, is no directory in the new default")]
    ParentNotDirectory {
        /// The directory.
        path: String,
    },
    /// What should hold the change is a link out of `/etc` in the default.
    #[error("/etc/{path}, which holds local changes, is a link out of /etc in the new default")]
    ParentOutside {
        /// The directory.
        path: String,
    },
}

/// One step on the new `/etc`; `from` is a path in the old one. Paths go through no links.
#[derive(Debug, Clone)]
pub(super) enum Action {
    /// Remove with everything in it.
    Remove { path: EtcPath },
    /// Make a directory like another.
    MakeDirectory { path: EtcPath, from: EtcPath },
    /// Give a directory the owner, mode and attributes of another.
    CopyAttributes { path: EtcPath, from: EtcPath },
    /// Copy to a free place, a directory with everything in it.
    Copy { path: EtcPath, from: EtcPath },
}

/// Where two trees differ.
#[derive(Default)]
struct Difference {
    modified: Vec<EtcPath>,
    removed: Vec<EtcPath>,
    added: Vec<EtcPath>,
}

impl EtcPlan {
    /// Plan to apply the difference between `old` (the default of the previous deployment) and
    /// `current` (its `/etc`) to `new` (the new default).
    #[must_use]
    pub fn new(old: &EtcTree, current: &EtcTree, new: &EtcTree) -> Self {
        let mut difference = Difference::default();
        difference.compare(old, current, &mut Vec::new());
        let shown = |paths: &[EtcPath]| paths.iter().map(|path| show(path)).collect();
        let mut planning = Planning {
            old,
            current,
            new,
            plan: Self {
                modified: shown(&difference.modified),
                removed: shown(&difference.removed),
                added: shown(&difference.added),
                conflicts: Vec::new(),
                blocks: Vec::new(),
                actions: Vec::new(),
                merged: new.clone(),
            },
        };
        difference
            .removed
            .iter()
            .for_each(|path| planning.remove(path));
        let changed = difference.modified.iter().chain(&difference.added);
        changed.for_each(|path| planning.carry(path));
        planning.plan
    }

    /// What comes out, when nothing is in the way.
    #[must_use]
    pub const fn merged(&self) -> &EtcTree {
        &self.merged
    }

    /// Whether there is nothing to carry over.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.modified.is_empty() && self.removed.is_empty() && self.added.is_empty()
    }
}

impl Difference {
    fn compare(&mut self, old: &EtcTree, current: &EtcTree, at: &mut EtcPath) {
        for (name, before) in &old.children {
            at.push(name.clone());
            match (before, current.children.get(name)) {
                (_, None) => self.removed.push(at.clone()),
                (Node::Dir(before), Some(Node::Dir(now))) => {
                    if before.meta != now.meta {
                        self.modified.push(at.clone());
                    }
                    self.compare(before, now, at);
                }
                (before, Some(now)) if before == now => {}
                (_, Some(_)) => self.modified.push(at.clone()),
            }
            at.pop();
        }
        for name in current
            .children
            .keys()
            .filter(|name| !old.children.contains_key(*name))
        {
            let mut path = at.clone();
            path.push(name.clone());
            self.added.push(path);
        }
    }
}

struct Planning<'a> {
    old: &'a EtcTree,
    current: &'a EtcTree,
    new: &'a EtcTree,
    plan: EtcPlan,
}

impl Planning<'_> {
    /// Removed locally. Where the default no longer has it, or the place for it, nothing is left to do.
    fn remove(&mut self, path: &EtcPath) {
        let (old, new) = (node(self.old, path), node(self.new, path));
        if new.is_some() && new != old {
            self.plan
                .conflicts
                .push(EtcConflict::StaysRemoved { path: show(path) });
        }
        let Some((name, parent)) = path.split_last() else {
            return;
        };
        if let Walk::Directory(parent) = walk(&self.plan.merged, parent) {
            self.remove_at(&parent, name);
        }
    }

    fn remove_at(&mut self, parent: &EtcPath, name: &Name) {
        let dir = dir_mut(&mut self.plan.merged, parent);
        if dir.and_then(|dir| dir.children.remove(name)).is_some() {
            self.plan.actions.push(Action::Remove {
                path: joined(parent, name),
            });
        }
    }

    /// Changed or added locally.
    fn carry(&mut self, path: &EtcPath) {
        let (current, Some((name, parent))) = (self.current, path.split_last()) else {
            return;
        };
        let Some(now) = node(current, path) else {
            return;
        };
        self.note_conflict(path, now);
        let parent = match self.ensure_parent(parent) {
            Ok(parent) => parent,
            Err(block) => return self.plan.blocks.push(block),
        };
        let place = joined(&parent, name);
        match (node(&self.plan.merged, &place), now) {
            (Some(Node::Dir(_)), Node::Dir(dir)) => return self.carry_children(path, dir),
            (Some(Node::Dir(_)), Node::Leaf(_)) => {
                return self
                    .plan
                    .blocks
                    .push(EtcBlock::NowDirectory { path: show(path) });
            }
            (Some(Node::Leaf(_)), _) => self.remove_at(&parent, name),
            (None, _) => {}
        }
        if matches!(now, Node::Leaf(EtcLeaf::Other)) {
            return;
        }
        if let Some(dir) = dir_mut(&mut self.plan.merged, &parent) {
            dir.children.insert(name.clone(), carried(now));
        }
        self.plan.actions.push(Action::Copy {
            path: place,
            from: path.clone(),
        });
    }

    /// A directory that is in the new default as well. Where it was one in the old default, the
    /// comparison has gone into it; otherwise everything in it is new.
    fn carry_children(&mut self, path: &EtcPath, dir: &EtcTree) {
        if matches!(node(self.old, path), Some(Node::Dir(_))) {
            return;
        }
        for name in dir.children.keys() {
            self.carry(&joined(path, name));
        }
    }

    fn note_conflict(&mut self, path: &EtcPath, now: &Node<super::EtcMeta, EtcLeaf>) {
        let (old, new) = (node(self.old, path), node(self.new, path));
        let path = show(path);
        self.plan.conflicts.extend(match (now, new) {
            (Node::Leaf(EtcLeaf::Other), _) => Some(EtcConflict::Ignored { path }),
            (Node::Dir(now), Some(Node::Dir(new))) => {
                (now.meta != new.meta).then_some(EtcConflict::AttributesDropped { path })
            }
            (now, Some(new)) if new == now || Some(new) == old => None,
            (_, Some(_)) => Some(EtcConflict::BothChanged { path }),
            (_, None) if old.is_some() => Some(EtcConflict::DefaultRemoved { path }),
            (_, None) => None,
        });
    }

    /// See to it that the directory is there and has the attributes that it has locally; its path
    /// without links.
    fn ensure_parent(&mut self, path: &[Name]) -> Result<EtcPath, EtcBlock> {
        let Some((name, above)) = path.split_last() else {
            return Ok(Vec::new());
        };
        let place = match walk(&self.plan.merged, path) {
            Walk::Directory(place) => {
                self.plan.actions.push(Action::CopyAttributes {
                    path: place.clone(),
                    from: path.to_vec(),
                });
                place
            }
            Walk::Missing { parent } => self.make_directory(&parent, name, path),
            Walk::NoParent if !above.is_empty() => {
                self.ensure_parent(above)?;
                return self.ensure_parent(path);
            }
            Walk::NoParent | Walk::NotDirectory => {
                return Err(EtcBlock::ParentNotDirectory { path: show(path) });
            }
            Walk::Outside => return Err(EtcBlock::ParentOutside { path: show(path) }),
        };
        if let (Some(Node::Dir(now)), Some(dir)) = (
            node(self.current, path),
            dir_mut(&mut self.plan.merged, &place),
        ) {
            dir.meta = now.meta;
        }
        Ok(place)
    }

    fn make_directory(&mut self, parent: &EtcPath, name: &Name, from: &[Name]) -> EtcPath {
        let place = joined(parent, name);
        if let (Some(Node::Dir(now)), Some(dir)) = (
            node(self.current, from),
            dir_mut(&mut self.plan.merged, parent),
        ) {
            dir.children
                .insert(name.clone(), Node::Dir(tree::Dir::new(now.meta)));
        }
        self.plan.actions.push(Action::MakeDirectory {
            path: place.clone(),
            from: from.to_vec(),
        });
        place
    }
}

/// A copy without what cannot be copied.
fn carried(node: &Node<super::EtcMeta, EtcLeaf>) -> Node<super::EtcMeta, EtcLeaf> {
    let Node::Dir(dir) = node else {
        return node.clone();
    };
    let mut copy = tree::Dir::new(dir.meta);
    let kept = dir
        .children
        .iter()
        .filter(|(_, node)| !matches!(node, Node::Leaf(EtcLeaf::Other)));
    copy.children
        .extend(kept.map(|(name, node)| (name.clone(), carried(node))));
    Node::Dir(copy)
}

fn joined(parent: &[Name], name: &Name) -> EtcPath {
    parent.iter().chain([name]).cloned().collect()
}

/// For people: escaped where it is not printable.
pub(crate) fn show(path: &[Name]) -> String {
    let parts = path.iter().map(|name| match name.to_str() {
        Some(text) if !text.contains(char::is_control) => text.to_owned(),
        _ => name.as_bytes().escape_ascii().to_string(),
    });
    parts.collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::etc::EtcMeta;
    use ostree_format::Checksum;
    use tree::Dir;

    const META: EtcMeta = EtcMeta {
        uid: 0,
        gid: 0,
        mode: 0o755,
    };

    /// A tree of `path=content`, `path@target` and `path/`; parents come first.
    fn tree(items: &[&str]) -> EtcTree {
        let mut tree = Dir::new(META);
        for item in items {
            let (path, node) = if let Some((path, text)) = item.split_once('=') {
                let content = Checksum::of(text.as_bytes());
                (
                    path,
                    Node::Leaf(EtcLeaf::File {
                        meta: META,
                        content,
                    }),
                )
            } else if let Some((path, target)) = item.split_once('@') {
                let target = target.as_bytes().to_vec();
                (path, Node::Leaf(EtcLeaf::Link { meta: META, target }))
            } else {
                (item.trim_end_matches('/'), Node::Dir(Dir::new(META)))
            };
            let path: EtcPath = path
                .split('/')
                .map(|part| Name::new(part.as_bytes()).unwrap())
                .collect();
            let (name, parent) = path.split_last().unwrap();
            dir_mut(&mut tree, parent)
                .unwrap()
                .children
                .insert(name.clone(), node);
        }
        tree
    }

    fn plan(old: &[&str], current: &[&str], new: &[&str]) -> EtcPlan {
        EtcPlan::new(&tree(old), &tree(current), &tree(new))
    }

    #[test]
    fn both_sides_are_told_of() {
        let old = ["both=1", "gone=1", "removed=1", "same=1", "mine=1"];
        let current = ["both=2", "gone=2", "same=2", "mine=2", "added=2"];
        let new = ["both=3", "removed=3", "same=2", "mine=1", "added=3"];
        let plan = plan(&old, &current, &new);
        let path = |path: &str| path.to_owned();
        assert_eq!(
            plan.conflicts,
            [
                EtcConflict::StaysRemoved {
                    path: path("removed")
                },
                EtcConflict::BothChanged { path: path("both") },
                EtcConflict::DefaultRemoved { path: path("gone") },
                EtcConflict::BothChanged {
                    path: path("added")
                },
            ]
        );
        assert_eq!(
            plan.merged,
            tree(&["both=2", "gone=2", "same=2", "mine=2", "added=2"])
        );
        assert_eq!(
            (plan.removed, plan.added),
            (vec![path("removed")], vec![path("added")])
        );
    }

    #[test]
    fn nothing_is_written_through_a_link_out_of_etc() {
        let old = ["d/", "d/f=1"];
        let current = ["d/", "d/f=2"];
        for target in ["/usr/lib/d", "../usr", "x/../../y"] {
            let blocked = plan(&old, &current, &["x/", &format!("d@{target}")]);
            assert_eq!(
                blocked.blocks,
                [EtcBlock::ParentOutside {
                    path: "d".to_owned()
                }],
                "{target}"
            );
        }
        let inside = plan(&old, &current, &["x/", "d@x/../x"]);
        assert!(inside.blocks.is_empty());
        assert_eq!(inside.merged, tree(&["x/", "d@x/../x", "x/f=2"]));
    }

    #[test]
    fn no_change_is_no_work() {
        let same = plan(&["a=1", "d/"], &["a=1", "d/"], &["a=2"]);
        assert!(same.is_empty() && same.actions.is_empty() && same.conflicts.is_empty());
        assert_eq!(same.merged, tree(&["a=2"]));
    }
}
