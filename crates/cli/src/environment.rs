//! The environment variables that are read, all of them here.
//!
//! `BOOTROOT_LOG` filters the log as `RUST_LOG` does elsewhere; `BOOTROOT_CRASH_AT` is for tests;
//! `BOOTROOT_JOURNAL` names the socket of the journal.
//! `OSTREE_SYSROOT`, `OSTREE_SYSROOT_DEBUG`, `OSTREE_GRUB2_EXEC`, `OSTREE_EX_STAGE_DEPLOYMENTS` and what the
//! hook of `grub2-mkconfig` sets mean what they mean to `ostree admin`.
//! `NO_COLOR` and its relatives are read by `anstream`. Credentials and certificates are looked for where
//! `containers-auth.json(5)` and OpenSSL say.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use boot_format::KernelArgs;
use error_class::{Classified, ErrorClass};
use host::Surroundings;
use oci::proxies::Proxies;
use ostree::BootId;
use sysroot::SysrootOptions;
use tracing_subscriber::EnvFilter;
use trust::KeyStores;

use crate::private_mounts;

const CRASH_AT: &str = "BOOTROOT_CRASH_AT";
const LOG: &str = "BOOTROOT_LOG";

/// Where the kernel says which boot this is.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

const JOURNAL: &str = "BOOTROOT_JOURNAL";

/// Where `podman login` of root keeps credentials when there is no session.
const OF_ROOT: &str = "/run/containers/0/auth.json";

/// `BOOTROOT_CRASH_AT` cannot be understood.
#[derive(Debug, thiserror::Error)]
#[error("{CRASH_AT}={value:?} is not NAME or NAME:COUNT")]
pub(crate) struct BadCrashPoint {
    value: String,
}

impl Classified for BadCrashPoint {
    fn class(&self) -> ErrorClass {
        ErrorClass::InvalidInput
    }
}

/// The editor for messages: `OSTREE_EDITOR`, `VISUAL` (only on a terminal that can show it), `EDITOR`, or
/// `vi`; none when the terminal cannot show any.
pub(crate) fn editor() -> Option<String> {
    let get = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let dumb = get("TERM").is_none_or(|terminal| terminal == "dumb");
    get("OSTREE_EDITOR")
        .or_else(|| get("VISUAL").filter(|_| !dumb))
        .or_else(|| get("EDITOR"))
        .or_else(|| (!dumb).then(|| "vi".to_owned()))
}

/// Where files are made that another program is to read: `TMPDIR`, or `/tmp`.
pub(crate) fn temporary_directory() -> PathBuf {
    std::env::temp_dir()
}

/// Where programs are looked for: `PATH`.
pub(crate) fn program_directories() -> Vec<PathBuf> {
    std::env::var_os("PATH").map_or_else(Vec::new, |path| std::env::split_paths(&path).collect())
}

/// Lets the process die at a named point, when a test asks for that.
pub(crate) fn arm_crash_point() -> Result<(), BadCrashPoint> {
    let Some(value) = std::env::var_os(CRASH_AT) else {
        return Ok(());
    };
    let value = value.to_string_lossy().into_owned();
    match parse_crash_point(&value) {
        Some((name, nth)) => durable::crash::arm(name, nth),
        None => return Err(BadCrashPoint { value }),
    }
    Ok(())
}

fn parse_crash_point(value: &str) -> Option<(&str, u32)> {
    // Names have colons of their own: what follows the last one is a count only if it is a number.
    let counted = value
        .rsplit_once(':')
        .and_then(|(name, nth)| Some((name, nth.parse().ok()?)));
    let (name, nth) = counted.unwrap_or((value, 1));
    let valid = !name.is_empty() && !name.ends_with(':') && nth > 0;
    valid.then_some((name, nth))
}

/// Sends the log to standard error: nothing, unless `-v` or `BOOTROOT_LOG` asks for it.
pub(crate) fn start_log(verbose: u8) {
    let directives = match (std::env::var(LOG), verbose) {
        (Ok(directives), _) => directives,
        (Err(_), 0) => return,
        (Err(_), 1) => "debug".to_owned(),
        (Err(_), _) => "trace".to_owned(),
    };
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(directives))
        .with_writer(anstream::stderr)
        .with_target(false)
        .without_time()
        .init();
}

/// The socket of the journal, when the user says which.
pub(crate) fn journal_socket() -> Option<PathBuf> {
    path(JOURNAL)
}

/// The current time in seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// The repository that `ostree` works on when none is named.
pub(crate) fn ostree_repository() -> Option<PathBuf> {
    path("OSTREE_REPO").filter(|path| !path.as_os_str().is_empty())
}

/// `SOURCE_DATE_EPOCH` cannot be understood.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadEpoch {
    #[error("Failed to convert SOURCE_DATE_EPOCH: {0:?} is no number of seconds")]
    NoNumber(String),
    #[error("Parsing SOURCE_DATE_EPOCH: Numerical result out of range")]
    TooLarge,
}

impl Classified for BadEpoch {
    fn class(&self) -> ErrorClass {
        ErrorClass::InvalidInput
    }
}

/// The time that a reproducible build wants in place of the current one, in seconds since 1970.
pub(crate) fn source_date_epoch() -> Result<Option<u64>, BadEpoch> {
    let Some(value) = std::env::var_os("SOURCE_DATE_EPOCH") else {
        return Ok(None);
    };
    let text = value.to_string_lossy();
    match text.parse::<i64>() {
        Ok(seconds) if seconds >= 0 => Ok(Some(seconds.unsigned_abs())),
        Err(error) if *error.kind() == std::num::IntErrorKind::PosOverflow => {
            Err(BadEpoch::TooLarge)
        }
        _ => Err(BadEpoch::NoNumber(text.into_owned())),
    }
}

/// The system that `ostree admin` is about.
pub(crate) fn ostree_sysroot() -> Option<PathBuf> {
    path("OSTREE_SYSROOT")
}

/// How deployments are worked on, as `OSTREE_SYSROOT_DEBUG` and `OSTREE_GRUB2_EXEC` say.
pub(crate) fn sysroot_options() -> SysrootOptions {
    let words = std::env::var("OSTREE_SYSROOT_DEBUG").unwrap_or_default();
    let has = |wanted: &str| {
        words
            .split([',', ':', ';', ' ', '\t'])
            .any(|word| word == wanted)
    };
    let mut options = SysrootOptions::default();
    options.mutable_deployments = has("mutable-deployments");
    options.no_xattrs = has("no-xattrs");
    options.no_device_trees = has("no-dtb");
    options.test_freeze = has("test-fifreeze");
    let generator = path("OSTREE_GRUB2_EXEC");
    options.grub_generator = generator.and_then(|path| std::path::absolute(path).ok());
    options
}

/// Whether upgrades are staged without being asked to.
pub(crate) fn stages_deployments() -> bool {
    std::env::var_os("OSTREE_EX_STAGE_DEPLOYMENTS").is_some()
}

/// What the hook of `grub2-mkconfig` tells.
#[derive(Debug)]
pub(crate) struct GrubHook {
    /// The file system that holds `/boot`.
    pub(crate) boot_device: String,
    /// Commands that find it.
    pub(crate) prepare_root: String,
    /// Whether GRUB was started by EFI.
    pub(crate) efi: bool,
    /// The set of boot entries.
    pub(crate) boot_version: Option<u32>,
}

/// What the hook of `grub2-mkconfig` tells; the name of a variable that it did not set otherwise.
pub(crate) fn grub_hook() -> Result<GrubHook, &'static str> {
    let text = |name: &'static str| std::env::var(name).map_err(|_| name);
    let version = std::env::var("_OSTREE_GRUB2_BOOTVERSION");
    Ok(GrubHook {
        boot_device: text("GRUB2_BOOT_DEVICE_ID")?,
        prepare_root: text("GRUB2_PREPARE_ROOT_CACHE")?,
        efi: std::env::var_os("_OSTREE_GRUB2_IS_EFI").is_some(),
        boot_version: version.ok().and_then(|text| text.parse().ok()),
    })
}

/// The arguments of the running kernel, without those of boot loaders.
pub(crate) fn running_kernel_args() -> std::io::Result<KernelArgs> {
    let line = std::fs::read_to_string("/proc/cmdline")?;
    Ok(KernelArgs::from_proc_cmdline(line.trim_end()))
}

/// What tells what this program runs in.
pub(crate) fn surroundings() -> std::io::Result<Surroundings> {
    let marks = ["/run/.containerenv", "/.dockerenv"];
    let is_marked = marks.iter().any(|mark| Path::new(mark).exists());
    Ok(Surroundings {
        kernel_args: running_kernel_args()?,
        root_source: private_mounts::source_of(Path::new("/")),
        ostree_booted: Path::new("/run/ostree-booted").exists(),
        in_container: is_marked || std::env::var_os("container").is_some(),
    })
}

/// Has the service manager reboot the system.
pub(crate) fn reboot() -> std::io::Result<()> {
    ask_systemctl("reboot")
}

/// Has the service manager change to the next root that is mounted, without starting the kernel anew.
pub(crate) fn soft_reboot() -> std::io::Result<()> {
    ask_systemctl("soft-reboot")
}

fn ask_systemctl(verb: &str) -> std::io::Result<()> {
    let status = std::process::Command::new("systemctl").arg(verb).status()?;
    if status.success() {
        return Ok(());
    }
    Err(std::io::Error::other(format!("systemctl {verb}: {status}")))
}

/// Has `skopeo` give podman the image; what it said when it failed.
pub(crate) fn copy_to_podman(source: &str, name: &str) -> std::io::Result<Option<String>> {
    let output = std::process::Command::new("skopeo")
        .args(["--insecure-policy", "copy", "--quiet", source])
        .arg(format!("containers-storage:{name}"))
        .stdin(std::process::Stdio::null())
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Ok((!output.status.success()).then_some(said))
}

/// Has `podman image` work on a store.
pub(crate) fn podman_image(
    root: &Path,
    run: &Path,
    arguments: &[OsString],
) -> std::io::Result<std::process::ExitStatus> {
    let mut podman = std::process::Command::new("podman");
    podman.arg("--root").arg(root).arg("--runroot").arg(run);
    podman.arg("image").args(arguments).status()
}

/// Has the kernel of a deployment take over at the next reboot, without the firmware (`kexec`).
pub(crate) fn load_kernel(kernel: &Path, initrd: Option<&Path>, line: &str) -> std::io::Result<()> {
    let mut command = std::process::Command::new("kexec");
    command.args(["--kexec-file-syscall", "--load"]).arg(kernel);
    if let Some(initrd) = initrd {
        command.arg(format!("--initrd={}", initrd.display()));
    }
    let status = command.arg(format!("--command-line={line}")).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(std::io::Error::other(format!("kexec: {status}"))),
        Err(error) => Err(std::io::Error::new(error.kind(), format!("kexec: {error}"))),
    }
}

/// Whether commits go into repositories of mode `bare-split-xattrs`, which libostree allows on request only.
pub(crate) fn writes_split_xattrs() -> bool {
    std::env::var_os("OSTREE_EXP_WRITE_BARE_SPLIT_XATTRS").is_some()
}

/// For tests of recovery, as libostree has it: a transaction stops before anything is published
/// (`OSTREE_REPO_TEST_ERROR=pre-commit`). The boot that it leaves something behind in.
pub(crate) fn interrupted_commit() -> Option<BootId> {
    std::env::var_os("OSTREE_REPO_TEST_ERROR").filter(|point| point == "pre-commit")?;
    boot_id()
}

/// Which boot this is: what the kernel says, or `OSTREE_BOOTID`, as with `ostree`.
pub(crate) fn boot_id() -> Option<BootId> {
    let pretended = std::env::var("OSTREE_BOOTID").ok();
    let text = pretended.or_else(|| std::fs::read_to_string(BOOT_ID).ok())?;
    text.parse().ok()
}

/// The certificate authorities to trust, when the user says which.
pub(crate) fn ca_bundle() -> Option<PathBuf> {
    path("SSL_CERT_FILE")
}

/// Whether summaries of remotes are not kept: for tests, as with `ostree`.
pub(crate) fn skips_summary_cache() -> bool {
    std::env::var_os("OSTREE_SKIP_CACHE").is_some()
}

/// Whether a cached summary that does not fit its signatures is a failure: for tests, as with `ostree`.
pub(crate) fn refuses_invalid_cache() -> bool {
    let errors = std::env::var("OSTREE_REPO_TEST_ERROR").unwrap_or_default();
    errors.split(',').any(|error| error == "invalid-cache")
}

/// Where keys are looked for, when the user says so; for tests, as with `ostree`.
pub(crate) fn key_stores(stores: KeyStores) -> KeyStores {
    let dummy = std::env::var_os("OSTREE_DUMMY_SIGN_ENABLED");
    let stores = stores.with_dummy(dummy.is_some_and(|value| value == "1"));
    match path("OSTREE_GPG_HOME").and_then(|dir| std::path::absolute(dir).ok()) {
        Some(dir) => stores.with_keyrings(dir),
        None => stores,
    }
}

/// The proxies that the user has, by the usual variables; names in small letters count first. For plain
/// HTTP the one in capitals is not looked at where a web server might have set it.
pub(crate) fn proxies() -> Proxies {
    proxies_by(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
}

fn proxies_by(text: impl Fn(&str) -> Option<String>) -> Proxies {
    let of = |small: &str, large: &str| text(small).or_else(|| text(large));
    let all = || of("all_proxy", "ALL_PROXY");
    let is_served = text("REQUEST_METHOD").is_some();
    let http = text("http_proxy").or_else(|| text("HTTP_PROXY").filter(|_| !is_served));
    Proxies {
        https: of("https_proxy", "HTTPS_PROXY").or_else(all),
        http: http.or_else(all),
        except: of("no_proxy", "NO_PROXY").unwrap_or_default(),
    }
}

/// Where the user has containers' configuration of their own.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct UserConfiguration {
    /// The only registries.conf to use.
    pub(crate) registries: Option<PathBuf>,
    /// Where drop-ins for it are, if not at the usual place.
    pub(crate) registries_dir: Option<PathBuf>,
    /// The user's directory for containers; none when the user is root.
    pub(crate) dir: Option<PathBuf>,
    /// The only storage.conf to use.
    pub(crate) storage: Option<PathBuf>,
    /// Whether images are where storage.conf says, in files that we may read: users other than root have a
    /// storage of their own, with files of other owners.
    pub(crate) reads_storage: bool,
}

/// Where the user has containers' configuration of their own. Root has that of the system.
pub(crate) fn containers_configuration() -> UserConfiguration {
    let is_root = rustix::process::geteuid().is_root();
    let config = path("XDG_CONFIG_HOME").or_else(|| path("HOME").map(|home| home.join(".config")));
    UserConfiguration {
        registries: path("CONTAINERS_REGISTRIES_CONF"),
        registries_dir: path("CONTAINERS_REGISTRIES_CONF_DIR"),
        dir: config
            .filter(|_| !is_root)
            .map(|dir| dir.join("containers")),
        storage: path("CONTAINERS_STORAGE_CONF"),
        reads_storage: is_root
            && ["STORAGE_DRIVER", "STORAGE_OPTS"]
                .iter()
                .all(|name| path(name).is_none()),
    }
}

/// Where the user has credentials for registries.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct UserCredentials {
    /// The only file to use.
    pub(crate) chosen: Option<PathBuf>,
    /// The usual places, the most important first; they need not exist.
    pub(crate) usual: Vec<PathBuf>,
}

/// Where the user has credentials for registries, as podman and docker keep them.
pub(crate) fn credentials() -> UserCredentials {
    credentials_by(path)
}

fn credentials_by(path: impl Fn(&str) -> Option<PathBuf>) -> UserCredentials {
    let home = |below: &str| path("HOME").map(|home| home.join(below));
    let runtime = path("XDG_RUNTIME_DIR").map(|dir| dir.join("containers/auth.json"));
    let config = path("XDG_CONFIG_HOME").or_else(|| home(".config"));
    let docker = path("DOCKER_CONFIG").or_else(|| home(".docker"));
    let usual = [
        runtime.or_else(|| Some(OF_ROOT.into())),
        config.map(|dir| dir.join("containers/auth.json")),
        docker.map(|dir| dir.join("config.json")),
    ];
    UserCredentials {
        chosen: path("REGISTRY_AUTH_FILE"),
        usual: usual.into_iter().flatten().collect(),
    }
}

/// A variable that is a path; an empty one counts as not set.
fn path(name: &str) -> Option<PathBuf> {
    std::env::var_os(name)
        .filter(|value: &OsString| !value.is_empty())
        .map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_are_found_by_either_spelling() {
        let variables = [
            ("HTTPS_PROXY", "http://large"),
            ("https_proxy", "http://small"),
            ("HTTP_PROXY", "http://attacker"),
            ("REQUEST_METHOD", "GET"),
            ("ALL_PROXY", "http://all"),
            ("NO_PROXY", "a.io"),
        ];
        let found = proxies_by(|name| {
            let mut entries = variables.iter();
            entries
                .find(|(key, _)| *key == name)
                .map(|(_, value)| (*value).to_owned())
        });
        assert_eq!(found.https.as_deref(), Some("http://small"));
        assert_eq!(found.http.as_deref(), Some("http://all"));
        assert_eq!(found.except, "a.io");
        assert_eq!(proxies_by(|_| None), Proxies::default());
    }

    #[test]
    fn credentials_are_where_podman_and_docker_keep_them() {
        let session = [("HOME", "/h"), ("XDG_RUNTIME_DIR", "/run/user/7")];
        let found = credentials_by(|name| {
            session
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| value.into())
        });
        let usual = [
            "/run/user/7/containers/auth.json",
            "/h/.config/containers/auth.json",
            "/h/.docker/config.json",
        ];
        assert_eq!(
            found,
            UserCredentials {
                chosen: None,
                usual: usual.map(PathBuf::from).into()
            }
        );
        let service = credentials_by(|_| None);
        assert_eq!(
            service.usual,
            [PathBuf::from("/run/containers/0/auth.json")]
        );
    }

    #[test]
    fn a_crash_point_has_a_name_and_perhaps_a_count() {
        assert_eq!(parse_crash_point("publish"), Some(("publish", 1)));
        assert_eq!(parse_crash_point("*:17"), Some(("*", 17)));
        assert_eq!(
            parse_crash_point("publish:synced"),
            Some(("publish:synced", 1))
        );
        assert_eq!(
            parse_crash_point("publish:synced:3"),
            Some(("publish:synced", 3))
        );
        for bad in ["", ":3", "publish:", "publish:0"] {
            assert_eq!(parse_crash_point(bad), None, "{bad}");
        }
    }
}
