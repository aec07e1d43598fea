//! `bootroot ostree gpg-sign`

use std::io::Write;

use clap::Args;
use signature::gpg::KeyQuery;
use trust::Signing;

use super::signatures::HomeOption;
use crate::context::Context;
use crate::environment;
use crate::outcome::{Exit, Failure};

/// Sign a commit with GPG keys
#[derive(Debug, Args)]
pub(crate) struct GpgSign {
    /// Remove the signatures of these keys instead of adding some
    #[arg(short, long)]
    delete: bool,
    #[command(flatten)]
    home: HomeOption,
    /// The commit
    commit: String,
    /// Keys as gpg knows them: fingerprints, key IDs, mail addresses
    #[arg(value_name = "KEY-ID", required = true)]
    keys: Vec<String>,
}

impl GpgSign {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let repo = context.place().open_repository()?;
        let commit = repo.resolve(&self.commit)?;
        let now = environment::now();
        if self.delete {
            let mut keyring = trust::keys_of_all(&repo, &context.place().key_stores()?)?;
            self.home.add_keys(&mut keyring)?;
            let queries: Vec<KeyQuery> = self.keys.iter().map(|key| KeyQuery::new(key)).collect();
            let deleted = trust::delete_signatures(&repo, &commit, &keyring, &queries, now)?;
            let mut out = context.results();
            writeln!(out, "Signatures deleted: {deleted}")?;
            out.finish()?;
        } else {
            let signing = Signing {
                keys: Vec::new(),
                home: self.home.home(),
                gpg: self.keys,
            };
            trust::sign_commit(&repo, &commit, &signing, now)?;
        }
        Ok(Exit::Done)
    }
}
