//! Pulls that are told to stop.

use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use testkit::oci::Image;
use testkit::tar::Entry;

use crate::bench::{Bench, layer, noise};
use crate::slow_server::{serve_slowly, server};
use crate::support::{answer, said};

fn pull_from(bench: &Bench, host: &str) -> Child {
    let mut command = bench.run(&format!("image pull registry:{host}/os:v1"));
    command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn signal(name: &str, child: &Child) {
    testkit::run(testkit::command("kill").args([name, &child.id().to_string()]));
}

#[track_caller]
fn assert_interrupted(child: Child, since: Instant) -> String {
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", said(&output));
    assert!(
        since.elapsed() < Duration::from_secs(10),
        "took {:?}",
        since.elapsed()
    );
    said(&output)
}

#[test]
fn an_interrupt_ends_a_pull_cleanly() {
    let mut bench = Bench::new();
    let large = layer(&[Entry::dir("usr"), Entry::file("usr/noise", noise(4 << 20))]);
    let manifest = bench.images.tag("large", &Image::bootable().layer(large));
    let line = format!("image pull {}", bench.image("large"));
    for name in ["-INT", "-TERM"] {
        let (listener, host) = server();
        let child = pull_from(&bench, &host);
        let layer_begun = serve_slowly(listener, bench.images.dir().to_owned(), &manifest);
        layer_begun.recv().unwrap();
        let sent = Instant::now();
        signal(name, &child);
        let said = assert_interrupted(child, sent);
        assert!(
            said.contains("error: ") && said.contains("hint: run the same command again"),
            "{said}"
        );
        bench.assert_sound();
    }
    answer(&mut bench.run(&line));
}

#[test]
fn a_second_interrupt_ends_the_process_at_once() {
    let bench = Bench::new();
    let (listener, host) = server();
    let child = pull_from(&bench, &host);
    let (connection, _) = listener.accept().unwrap();
    let sent = Instant::now();
    signal("-INT", &child);
    thread::sleep(Duration::from_secs(1));
    signal("-INT", &child);
    assert_interrupted(child, sent);
    drop(connection);
    bench.assert_sound();
}
