use crate::PartHeader;

/// The byte order of the numbers in a superblock's lists, which is that of the machine that wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endianness {
    /// The superblock says little.
    Little,
    /// The superblock says big.
    Big,
    /// The superblock is of the time before it said anything, and its sizes make sense in big endian only.
    GuessedBig,
    /// It does not say, and nothing speaks against little endian.
    Unknown,
}

impl Endianness {
    /// The key in the superblock's metadata.
    pub(crate) const KEY: &str = "ostree.endianness";

    /// Of what the superblock says.
    pub(crate) const fn from_byte(byte: u8) -> Self {
        match byte {
            b'l' => Self::Little,
            b'B' => Self::Big,
            _ => Self::Unknown,
        }
    }

    /// What the superblock says.
    pub(crate) const fn to_byte(self) -> u8 {
        match self {
            Self::Big | Self::GuessedBig => b'B',
            Self::Little | Self::Unknown => b'l',
        }
    }

    /// Whether numbers are to be swapped after they were read as little endian.
    #[must_use]
    pub const fn is_swapped(self) -> bool {
        matches!(self, Self::Big | Self::GuessedBig)
    }

    /// From the sizes of `parts`, read as little endian: no part is packed to much more than it unpacks to,
    /// and no object has more than four gigabytes on average.
    pub(crate) fn guess(parts: &[PartHeader]) -> Self {
        let swollen = |part: &&PartHeader| {
            part.size > part.unpacked_size
                && u128::from(part.size).saturating_mul(10)
                    > u128::from(part.unpacked_size).saturating_mul(12)
        };
        let size = parts.iter().map(|p| p.size).fold(0, u64::wrapping_add);
        let objects = parts.iter().map(|p| p.objects.len() as u64).sum::<u64>();
        let huge = size
            .checked_div(objects)
            .is_some_and(|mean| mean > u64::from(u32::MAX));
        if parts.iter().any(|part| swollen(&part)) || huge {
            Self::GuessedBig
        } else {
            Self::Unknown
        }
    }

    /// As `ostree static-delta show` calls it.
    #[must_use]
    pub const fn description(self) -> &'static str {
        match self {
            Self::Little => "little",
            Self::Big => "big",
            Self::GuessedBig => "big (heuristic)",
            Self::Unknown => "invalid",
        }
    }
}
