//! A registry on loopback with images that are made to be measured.

use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::scratch::sh;

/// Where it listens.
pub(crate) const HOST: &str = "127.0.0.1:5599";
const PATIENCE: Duration = Duration::from_secs(20);

/// Ended when dropped.
pub(crate) struct Registry(Child);

impl Registry {
    /// Starts one that keeps its data below `dir`.
    pub(crate) fn start(dir: &Path) -> Result<Self> {
        let config = dir.join("registry.yml");
        let text = format!(
            "version: 0.1\nlog: {{level: error}}\nhttp: {{addr: {HOST}}}\n\
             storage: {{filesystem: {{rootdirectory: {}}}}}\n",
            dir.join("registry").display()
        );
        std::fs::write(&config, text)?;
        ensure!(TcpStream::connect(HOST).is_err(), "{HOST} is taken");
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(&config).stdout(Stdio::null());
        let child = command.stderr(Stdio::null()).spawn();
        let registry = Self(child.context("cannot run docker-registry")?);
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(HOST).is_err() {
            ensure!(Instant::now() < deadline, "the registry does not come up");
            sleep(Duration::from_millis(50));
        }
        Ok(registry)
    }

    /// Gives it the images `many` (64 layers of 20 files of 32 KiB) and `few` (3 layers of 128 files of 1 MiB), made below
    /// `dir`. Their content is noise in Base64, which compresses to three quarters.
    pub(crate) fn make_images(&self, dir: &Path) -> Result<()> {
        push(dir, "many", 64, 20, 32 << 10)?;
        push(dir, "few", 3, 128, 1 << 20)
    }

    /// Gives it the version `v1` of an image, as `image`.
    pub(crate) fn take(&self, image: &Path) -> Result<()> {
        let image = image.display();
        sh(&format!(
            "skopeo --insecure-policy copy -q --dest-tls-verify=false 'oci:{image}:v1' docker://{HOST}/bench:image"
        ))
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // It is gone already if this fails.
        let _gone = self.0.kill().and_then(|()| self.0.wait());
    }
}

fn push(dir: &Path, name: &str, layers: u32, files: u32, size: u32) -> Result<()> {
    let dir = dir.display();
    sh(&format!(
        "cd '{dir}'; rm -rf made content; umoci init --layout made; umoci new --image made:{name}; \
         for layer in $(seq {layers}); do \
           rm -rf content; mkdir content; \
           for file in $(seq {files}); do \
             openssl enc -aes-128-ctr -nosalt -pbkdf2 -iter 1 -pass pass:{name}$layer/$file -in /dev/zero 2>/dev/null | \
             head -c {size} | base64 -w0 | head -c {size} > content/$file; \
           done; \
           umoci insert --image made:{name} content /usr/l$layer >/dev/null; \
         done; \
         skopeo --insecure-policy copy -q --dest-tls-verify=false oci:made:{name} docker://{HOST}/bench:{name}; \
         rm -rf made content"
    ))
}
