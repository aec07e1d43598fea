//! Options of verbs that fetch from where images come from.

use std::path::{Path, PathBuf};

use clap::Args;
use host::Access;

use crate::environment;
use crate::outcome::Failure;
use crate::place::{Place, open_dir};

/// How images are reached.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Source options")]
pub(crate) struct SourceOptions {
    /// Use credentials from FILE only [default: those of the system, then those of the user]
    #[arg(long, value_name = "FILE", conflicts_with = "anonymous")]
    authfile: Option<PathBuf>,
    /// Use no credentials
    #[arg(long, visible_alias = "auth-anonymous")]
    anonymous: bool,
    /// Use certificate authorities (*.crt) and client certificates (*.cert, *.key) from DIR only
    /// [default: those for the registry in /etc/containers/certs.d and /etc/docker/certs.d]
    #[arg(long, value_name = "DIR")]
    cert_dir: Option<PathBuf>,
    /// Whether the registry must prove who it is; with false, plain HTTP and any certificate are accepted
    /// [default: true, but for what registries.conf calls insecure]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    tls_verify: Option<bool>,
    /// Follow the image policy FILE [default: /etc/containers/policy.json]
    #[arg(long, value_name = "FILE")]
    signature_policy: Option<PathBuf>,
    /// Look into DIR for where signatures are [default: /etc/containers/registries.d]
    #[arg(long, value_name = "DIR")]
    registries_d: Option<PathBuf>,
    /// The same as --tls-verify=false
    #[arg(long, conflicts_with = "tls_verify")]
    insecure_skip_tls_verification: bool,
}

impl SourceOptions {
    /// As [`access`](Self::access); layers that the stores of a place have are not fetched.
    pub(crate) fn access_at(&self, place: &Place) -> Result<Access, Failure> {
        Ok(Access {
            // A repository alone has no other stores beside it.
            stores: place.root().ok(),
            ..self.access()?
        })
    }

    pub(crate) fn access(&self) -> Result<Access, Failure> {
        let of_user = environment::credentials();
        let configuration = environment::containers_configuration();
        Ok(Access {
            root: open_dir("the root directory", Path::new("/"))?,
            files: open_dir("the current directory", Path::new("."))?,
            authfile: self.authfile.clone().or(of_user.chosen),
            anonymous: self.anonymous,
            user_files: of_user.usual,
            ca_bundle: environment::ca_bundle(),
            cert_dir: self.cert_dir.clone(),
            tls_verify: self
                .tls_verify
                .or(self.insecure_skip_tls_verification.then_some(false)),
            registries_conf: configuration.registries,
            registries_dir: configuration.registries_dir,
            user_configuration: configuration.dir,
            signature_policy: self.signature_policy.clone(),
            lookaside_dir: self.registries_d.clone(),
            proxies: environment::proxies(),
            reads_storage: configuration.reads_storage,
            storage_conf: configuration.storage,
            stores: None,
            seed: u64::from(std::process::id()),
        })
    }
}
