//! What is written is read back as it was.

use boot_format::{BlsEntry, KernelArgs};
use proptest::prelude::*;

proptest! {
    #[test]
    fn kernel_arguments(line in "[a-c=\" é]{0,40}") {
        let args = KernelArgs::parse(&line);
        // A quote that is not closed swallows what follows it: only the last argument may have one.
        prop_assert_eq!(KernelArgs::parse(&args.to_string()), args);
    }

    #[test]
    fn entries(text in "((title|initrd|linux|x-key|#|)[ \t]?[a-z \r]{0,8}\n){0,12}") {
        let entry = BlsEntry::parse(&text);
        let written = entry.to_string();
        let again = BlsEntry::parse(&written);
        prop_assert_eq!(again.to_string(), written);
        prop_assert_eq!(again.overlay_initrds(), entry.overlay_initrds());
    }
}
