//! `bootroot ostree remote add-cookie`, `delete-cookie` and `list-cookies`

use std::io::Write;

use chrono::DateTime;
use clap::Args;
use ostree::Repo;
use pull::cookies::{self, Cookie};

use crate::context::Context;
use crate::environment;
use crate::outcome::Failure;

/// Add a cookie to a remote
#[derive(Debug, Args)]
pub(crate) struct AddCookie {
    /// The remote
    name: String,
    /// The host that it is for
    domain: String,
    /// The path that it is for
    path: String,
    /// Its name
    #[arg(value_name = "COOKIE_NAME")]
    cookie: String,
    /// Its value
    value: String,
}

/// Remove a cookie from a remote
#[derive(Debug, Args)]
pub(crate) struct DeleteCookie {
    /// The remote
    name: String,
    /// The host that it is for
    domain: String,
    /// The path that it is for
    path: String,
    /// Its name
    #[arg(value_name = "COOKIE_NAME")]
    cookie: String,
    /// Its value, which does not matter
    value: Option<String>,
}

/// Show the cookies of a remote
#[derive(Debug, Args)]
pub(crate) struct ListCookies {
    /// The remote
    name: String,
}

impl AddCookie {
    pub(super) fn run(&self, repo: &Repo) -> Result<(), Failure> {
        let now = environment::now();
        let cookie = Cookie::new(&self.domain, &self.path, &self.cookie, &self.value, now)?;
        Ok(cookies::add(repo.dir(), &self.name, cookie)?)
    }
}

impl DeleteCookie {
    pub(super) fn run(&self, repo: &Repo) -> Result<(), Failure> {
        let Self {
            name,
            domain,
            path,
            cookie,
            ..
        } = self;
        Ok(cookies::delete(repo.dir(), name, domain, path, cookie)?)
    }
}

impl ListCookies {
    pub(super) fn run(&self, context: &Context, repo: &Repo) -> Result<(), Failure> {
        let mut out = context.results();
        for cookie in cookies::list(repo.dir(), &self.name)? {
            writeln!(out, "--")?;
            writeln!(out, "Domain: {}", cookie.domain)?;
            writeln!(out, "Path: {}", cookie.path)?;
            writeln!(out, "Name: {}", cookie.name)?;
            let secure = if cookie.secure { "TRUE" } else { "FALSE" };
            writeln!(out, "Secure: {secure}")?;
            let expires = i64::try_from(cookie.expires).ok();
            if let Some(time) = expires.and_then(|time| DateTime::from_timestamp(time, 0)) {
                writeln!(out, "Expires: {}", time.format("%Y-%m-%d %H:%M:%S +0000"))?;
            }
            writeln!(out, "Value: {}", cookie.value)?;
        }
        Ok(out.finish()?)
    }
}
