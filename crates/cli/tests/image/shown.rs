//! What a pull shows on its way.

use std::fs;
use std::process::Command;

use serde_json::Value;
use testkit::oci::Image;
use testkit::tar::Entry;

use crate::bench::{Bench, layer, noise};
use crate::slow_server::{serve_slowly, server};
use crate::support::{answer, assert_valid, said};

#[test]
fn progress_counts_layers_and_bytes() {
    let bench = Bench::new();
    let v1 = answer(&mut bench.run(&format!("image pull {} --quiet", bench.image("v1"))));
    assert!(v1.contains("2 fetched"));
    let path = bench.dir.path().join("lines");
    let line = format!(
        "image pull {} --target-imgref {} --progress-fd 3",
        bench.image("v2"),
        bench.image("v1")
    );
    let command = format!(
        "exec {} --repo {} {line} 3>{}",
        env!("CARGO_BIN_EXE_bootroot"),
        bench.repo().display(),
        path.display()
    );
    answer(Command::new("sh").args(["-c", &command]));
    let lines: Vec<Value> = fs::read_to_string(path)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    lines.iter().for_each(|line| assert_valid("progress", line));
    let begun = |task: &str| {
        let all: Vec<&Value> = lines
            .iter()
            .filter(|line| line["type"] == "begin" && line["task"] == task)
            .collect();
        assert_eq!(all.len(), 1, "{task}: {lines:#?}");
        all[0]
    };
    let ended = |begin: &Value| {
        let end = lines
            .iter()
            .find(|line| line["type"] == "end" && line["id"] == begin["id"]);
        end.unwrap_or_else(|| panic!("{begin} has no end")).clone()
    };
    let (pull, fetch, present) = (begun("pull"), begun("fetch-layer"), begun("layer-present"));
    assert_eq!(
        (&pull["layers"], &pull["present"], &pull["unit"]),
        (&2.into(), &1.into(), &"bytes".into())
    );
    assert_eq!(
        (&fetch["index"], &fetch["of"], &fetch["total"]),
        (&1.into(), &2.into(), &pull["total"])
    );
    assert_eq!(
        (ended(pull)["outcome"].clone(), ended(pull)["done"].clone()),
        ("done".into(), pull["total"].clone())
    );
    assert_eq!(ended(present)["outcome"], "skipped");
}

#[test]
fn without_a_terminal_a_pull_is_one_line() {
    let bench = Bench::new();
    let output = bench
        .run(&format!("image pull {}", bench.image("v1")))
        .output()
        .unwrap();
    let text = said(&output);
    assert!(
        text.starts_with("pulling ") && text.contains("2 of 2 layers to fetch"),
        "{text}"
    );
    assert_eq!(text.lines().count(), 1);
    let quiet = bench
        .run(&format!("image pull {} --quiet", bench.image("v2")))
        .output()
        .unwrap();
    assert_eq!(said(&quiet), "");
}

#[test]
fn on_a_terminal_a_slow_pull_has_bars_that_go_away() {
    let mut bench = Bench::new();
    let slow = layer(&[
        Entry::dir("usr"),
        Entry::file("usr/noise", noise(128 << 10)),
    ]);
    let manifest = bench.images.tag("slow", &Image::bootable().layer(slow));
    let (listener, host) = server();
    drop(serve_slowly(
        listener,
        bench.images.dir().to_owned(),
        &manifest,
    ));
    let result = bench.dir.path().join("result");
    let pull = format!("image pull registry:{host}/os:v1 >{}", result.display());
    let command = format!(
        "{} --repo {} {pull}",
        env!("CARGO_BIN_EXE_bootroot"),
        bench.repo().display()
    );
    let mut script = testkit::command("script");
    let screen = answer(
        script
            .args(["-qec", &command, "/dev/null"])
            .env("TERM", "xterm"),
    );
    assert!(
        screen.contains("layer 1/1") && screen.contains("0/1 layers present"),
        "{screen:?}"
    );
    // The last thing that happens to the screen is that its lines are cleared.
    assert!(
        screen.trim_end().ends_with("\u{1b}[2K") || screen.ends_with("\u{1b}[1A"),
        "{screen:?}"
    );
    assert!(fs::read_to_string(result).unwrap().contains("pulled\n"));
}
