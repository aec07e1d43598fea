//! Which credentials an image is fetched with, and whether they are accepted.

use error_class::{Classified, ErrorClass};
use oci::reference::ImageReference;
use oci::registry::{Checked, CredentialUse, Wants};
use oci::source::Error as SourceError;
use progress::Interrupt;
use serde::Serialize;

use crate::{Access, AccessError};

/// What the places that may have an image say about us (`docs/auth-check.schema.json`).
#[derive(Debug, Serialize)]
pub struct AuthCheck {
    schema: &'static str,
    /// The image.
    pub image: String,
    /// Whether it can be fetched from one of them.
    pub accepted: bool,
    /// Mirrors first.
    pub places: Vec<AuthPlace>,
    /// The class of the last place's failure.
    #[serde(skip)]
    pub class: Option<ErrorClass>,
}

/// What one place says.
#[derive(Debug, Serialize)]
pub struct AuthPlace {
    /// The image's name there.
    pub name: String,
    /// The file and prefix of registries.conf that led there; null when the name itself did.
    pub configured_by: Option<String>,
    /// The server, `https://host`; null when it was not reached.
    pub server: Option<String>,
    /// `nothing`, `password` or `token`; null when it was not reached.
    pub wants: Option<&'static str>,
    /// The file with the credentials that were used, if any were.
    pub file: Option<String>,
    /// The entry in it, or the helper that it names.
    pub entry: Option<String>,
    /// Why the image cannot be fetched from it; null when it can.
    pub problem: Option<String>,
}

/// Why nothing could be found out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthCheckError {
    /// The way to the image, or the configuration.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// The name of the image, or somebody asked to stop.
    #[error(transparent)]
    Source(#[from] Box<SourceError>),
}

impl Classified for AuthCheckError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Access(error) => error.class(),
            Self::Source(error) => error.class(),
        }
    }
}

/// Asks every place that may have the image for its manifest.
///
/// # Errors
/// [`AuthCheckError`]; what servers say is in the answer.
pub fn auth_check(
    image: &ImageReference,
    access: &Access,
    interrupt: &Interrupt,
) -> Result<AuthCheck, AuthCheckError> {
    let context = access.context(image, interrupt)?;
    let checked = oci::registry::check(image, &context).map_err(Box::new)?;
    let class = checked.last().and_then(|last| last.problem.as_ref());
    Ok(AuthCheck {
        schema: "bootroot.auth-check/1",
        image: image.to_string(),
        accepted: checked.iter().any(|place| place.problem.is_none()),
        class: class.map(Classified::class),
        places: checked.into_iter().map(place).collect(),
    })
}

fn place(checked: Checked) -> AuthPlace {
    let (file, entry) = match checked.used {
        CredentialUse::Anonymous => (None, None),
        CredentialUse::Entry { origin, key } => (Some(origin), Some(key)),
        CredentialUse::Helper { origin, name } => {
            (Some(origin), Some(format!("docker-credential-{name}")))
        }
    };
    AuthPlace {
        name: checked.endpoint.name.to_string(),
        configured_by: checked.endpoint.by,
        server: checked.server,
        wants: checked.wants.map(|wants| match wants {
            Wants::Nothing => "nothing",
            Wants::Password => "password",
            Wants::Token(_) => "token",
        }),
        file,
        entry,
        problem: checked.problem.map(|problem| problem.to_string()),
    }
}
