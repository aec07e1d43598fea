//! `/etc/fstab` of systems whose root is read-only: an entry for `/` that says otherwise makes the boot fail.
//!
//! Source of the problem: libostree's issue 3193. Source of the mark: bootc, which edits such entries as well.

/// Says in `/etc/fstab` that the line below was edited.
const EDITED: &str = "# Updated by bootc-fstab-edit.service";

const MOUNT_POINT: usize = 1;
const OPTIONS: usize = 3;

/// The text with `ro` among the options of `/`; `None` when there is nothing to change.
#[must_use]
pub fn fixup_etc_fstab(text: &str) -> Option<String> {
    let mut changed = false;
    let mut out = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        match edited(line) {
            Some(line) => {
                changed = true;
                out.push_str(EDITED);
                out.push('\n');
                out.push_str(&line);
                out.push('\n');
            }
            None => out.push_str(line),
        }
    }
    changed.then_some(out)
}

/// The line as it has to be, if it has to be another.
fn edited(line: &str) -> Option<String> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let (place, options) = (fields.get(MOUNT_POINT)?, fields.get(OPTIONS)?);
    let is_root = *place == "/" && !line.trim_start().starts_with('#');
    if !is_root || options.split(',').any(|option| option == "ro") {
        return None;
    }
    // `rw` beside it would win or lose by its place.
    let others = options.split(',').filter(|option| *option != "rw");
    let options: Vec<&str> = others.chain(["ro"]).collect();
    let options = options.join(",");
    let fields = fields.iter().enumerate();
    let fields = fields.map(|(index, field)| match index {
        OPTIONS => options.as_str(),
        _ => field,
    });
    Some(fields.collect::<Vec<_>>().join(" "))
}

/// The line that mounts `/boot`, if there is one.
pub(crate) fn boot_line(text: &str) -> Option<&str> {
    text.lines().find(|line| {
        let mut fields = line.split_ascii_whitespace();
        !line.trim_start().starts_with('#') && fields.nth(MOUNT_POINT) == Some("/boot")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_root_is_changed_and_only_once() {
        let text = "# / is here\nUUID=1 /boot ext4 defaults 1 2\nUUID=2\t/  xfs defaults,x=1 0 0\n";
        let fixed = fixup_etc_fstab(text).unwrap();
        let expected = "# / is here\nUUID=1 /boot ext4 defaults 1 2\n\
                        # Updated by bootc-fstab-edit.service\nUUID=2 / xfs defaults,x=1,ro 0 0\n";
        assert_eq!(fixed, expected);
        assert_eq!(fixup_etc_fstab(&fixed), None);
        for kept in [
            "",
            "UUID=1 / xfs ro 0 0",
            "UUID=1 /\n",
            "#UUID=1 / xfs rw 0 0\n",
        ] {
            assert_eq!(fixup_etc_fstab(kept), None, "{kept}");
        }
        assert!(
            fixup_etc_fstab("a / b rw")
                .unwrap()
                .ends_with("\na / b ro\n")
        );
    }

    #[test]
    fn the_line_of_boot_is_found() {
        let text = "#a /boot b c\nUUID=2 / xfs ro 0 0\nUUID=1 /boot ext4 defaults 1 2\n";
        assert_eq!(boot_line(text), Some("UUID=1 /boot ext4 defaults 1 2"));
    }
}
