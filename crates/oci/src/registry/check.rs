//! Which credentials would be used for an image, and whether they are accepted.

use std::sync::Arc;

use super::challenge::Challenge;
use super::client::Client;
use super::error::{CredentialUse, Error};
use crate::context::Context;
use crate::reference::ImageReference;
use crate::registries::Endpoint;
use crate::source;

/// What a place that has an image says about us.
#[derive(Debug)]
pub struct Checked {
    /// The place.
    pub endpoint: Endpoint,
    /// The server that was asked, `https://host`; none when it was not reached.
    pub server: Option<String>,
    /// What it wants; none when it was not reached.
    pub wants: Option<Wants>,
    /// The credentials that were used.
    pub used: CredentialUse,
    /// Why the image's manifest cannot be fetched from it; none when it can.
    pub problem: Option<Error>,
}

/// How a registry wants to be shown who we are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wants {
    /// Not at all.
    Nothing,
    /// By user and password.
    Password,
    /// By a token of the server at this address.
    Token(String),
}

/// Asks every place that may have an image for its manifest, mirrors first.
///
/// # Errors
/// The name is not a registry reference, configuration does not let it be fetched, or somebody asked to
/// stop.
pub fn check(reference: &ImageReference, context: &Context) -> Result<Vec<Checked>, source::Error> {
    let name = super::full_name(reference, context)?;
    let clients = super::clients(&name, context)?;
    clients.iter().map(check_one).collect()
}

fn check_one(client: &Arc<Client>) -> Result<Checked, source::Error> {
    let fetched = client.manifest(&client.name().wanted());
    client
        .check_interrupt()
        .map_err(|problem| client.source_error(problem))?;
    let access = client.known_access();
    Ok(Checked {
        endpoint: client.endpoint().clone(),
        server: access.as_ref().map(|access| access.base.clone()),
        wants: access.map(|access| match access.challenge {
            None => Wants::Nothing,
            Some(Challenge::Basic) => Wants::Password,
            Some(Challenge::Bearer(realm)) => Wants::Token(realm.url),
        }),
        used: client.credential_use(),
        problem: fetched.err().map(|problem| client.error(problem)),
    })
}
