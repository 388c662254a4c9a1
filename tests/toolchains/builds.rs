//! Builds: what was built once is not built again, also after a kill.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::fixture::sources;
use crate::support::process::{Finished, run};
use crate::support::world::World;
use crate::tool::{kill_and_mount, made, settle, tool};

/// Crates as they are published: one whose tests work on files, and one that others build on.
const CRATES: [&str; 2] = ["fs_extra", "strsim"];
/// Tests that they have in these versions, at the least.
const TESTS_MIN: usize = 250;
/// Modules of the C project.
const MODULES: usize = 30;

#[test]
fn cargo_builds_real_crates_once() {
    let mut world = World::small();
    let app = world.repo("app");
    for (name, source) in sources(&CRATES) {
        run(world
            .command("cp")
            .arg("-r")
            .arg(source)
            .arg(app.join(name)))
        .success();
        // Published with other people's versions of what only their benchmarks want.
        let _none = fs::remove_file(app.join(name).join("Cargo.lock"));
    }
    let write = |path: &str, text: &str| fs::write(app.join(path), text).unwrap();
    let members = "[workspace]\nmembers = [\"fs_extra\", \"strsim\", \"app\"]\nresolver = \"2\"\n";
    write("Cargo.toml", members);
    fs::create_dir_all(app.join("app/src")).unwrap();
    write("app/Cargo.toml", MANIFEST);
    write("app/build.rs", BUILD_SCRIPT);
    write("app/src/main.rs", PROGRAM);
    write("app/data.txt", "one\n");

    assert_eq!(
        compiled(&cargo(&world, &["build"])),
        ["app", "fs_extra", "strsim"]
    );
    assert_eq!(compiled(&cargo(&world, &["build"])), [""; 0], "built again");
    let tested = cargo(&world, &["test", "--tests"]);
    assert!(passed(&tested) >= TESTS_MIN, "{tested}");
    for when in ["at once", "after a kill"] {
        assert_eq!(compiled(&cargo(&world, &["build"])), [""; 0], "{when}");
        let tested = cargo(&world, &["test", "--tests"]);
        assert_eq!(compiled(&tested), [""; 0], "{when}");
        assert!(passed(&tested) >= TESTS_MIN, "{tested}");
        kill_and_mount(&mut world);
    }
    // What did change is seen, and no more than that is built.
    write("app/data.txt", "two\n");
    assert_eq!(compiled(&cargo(&world, &["build"])), ["app"]);
    let says = run(&mut made(&world, "target/debug/app")).success().text();
    assert_eq!(says, "two 3");
    settle(&world, "cargo", &["target"]);
}

const MANIFEST: &str = r#"[package]
name = "app"
version = "0.1.0"
edition = "2021"

[dependencies]
fs_extra = { path = "../fs_extra" }
strsim = { path = "../strsim" }
"#;

const BUILD_SCRIPT: &str = r#"fn main() {
    println!("cargo:rerun-if-changed=data.txt");
    let out = std::env::var("OUT_DIR").unwrap();
    std::fs::copy("data.txt", format!("{out}/data.txt")).unwrap();
}
"#;

const PROGRAM: &str = r#"fn main() {
    let data = include_str!(concat!(env!("OUT_DIR"), "/data.txt"));
    println!("{} {}", data.trim(), strsim::levenshtein("kitten", "sitting"));
}
"#;

fn cargo_path() -> PathBuf {
    PathBuf::from(std::env::var_os("CARGO").expect("run by cargo test"))
}

#[track_caller]
fn cargo(world: &World, arguments: &[&str]) -> Finished {
    let cargo = cargo_path();
    let path = std::env::var("PATH").unwrap();
    let mut command = world.command(&cargo);
    command
        .current_dir(world.repo("app"))
        .env(
            "PATH",
            format!("{}:{path}", cargo.parent().unwrap().display()),
        )
        .env("CARGO_HOME", world.folder().join("home/cargo"))
        .args(arguments)
        .args(["--workspace", "--offline"]);
    run(&mut command).success()
}

/// The crates that cargo says it compiled.
fn compiled(finished: &Finished) -> Vec<String> {
    let errors = finished.errors();
    let lines = errors
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Compiling "));
    let mut names: Vec<String> = lines
        .map(|line| line.split(' ').next().unwrap().to_owned())
        .collect();
    names.sort();
    names
}

/// How many tests passed; none may have failed.
fn passed(finished: &Finished) -> usize {
    let text = finished.text();
    let lines = text
        .lines()
        .filter_map(|line| line.strip_prefix("test result: ok. "));
    lines
        .map(|line| line.split(' ').next().unwrap().parse::<usize>().unwrap())
        .sum()
}

#[test]
fn make_builds_a_c_project_once() {
    let mut world = World::small();
    let project = world.repo("app").join("project");
    c_project(&project);
    assert_eq!(make(&world, &[]), MODULES + 1, "each file once");
    let says = run(&mut made(&world, "project/build/program"))
        .success()
        .text();
    assert_eq!(says, (0..MODULES).sum::<usize>().to_string());
    for when in ["at once", "after a kill", "after a flush and a kill"] {
        assert_eq!(make(&world, &["-q"]), 0, "{when}");
        assert_eq!(make(&world, &[]), 0, "{when}");
        if when == "after a kill" {
            world.flush();
        }
        kill_and_mount(&mut world);
    }
    // What depends on a header is built when it changes, and nothing else.
    fs::write(project.join("m3.h"), "int m3(void); /* changed */\n").unwrap();
    assert_eq!(make(&world, &[]), 2);
    kill_and_mount(&mut world);
    assert_eq!(make(&world, &["-q"]), 0, "after a change");
    settle(&world, "make", &[]);
}

/// So many modules, each with a header that it and the main program include.
pub fn c_project(project: &Path) {
    fs::create_dir(project).unwrap();
    let write = |name: &str, text: &str| fs::write(project.join(name), text).unwrap();
    let (mut includes, mut calls) = (String::new(), String::new());
    for module in 0..MODULES {
        write(&format!("m{module}.h"), &format!("int m{module}(void);\n"));
        let text =
            format!("#include \"m{module}.h\"\nint m{module}(void) {{ return {module}; }}\n");
        write(&format!("m{module}.c"), &text);
        includes.push_str(&format!("#include \"m{module}.h\"\n"));
        calls.push_str(&format!(" + m{module}()"));
    }
    let main = format!(
        "#include <stdio.h>\n{includes}int main(void) {{ printf(\"%d\\n\", 0{calls}); return 0; }}\n"
    );
    write("main.c", &main);
    write("Makefile", MAKEFILE);
}

const MAKEFILE: &str = "
objects := $(patsubst %.c,build/%.o,$(wildcard *.c))

build/program: $(objects)
\tar rcs build/all.a $(objects)
\tcc -o $@ build/all.a

build/%.o: %.c | build
\tcc -O0 -MMD -c -o $@ $<

build:
\tmkdir build

-include $(objects:.o=.d)
";

/// Runs make, two jobs at a time, and gives how many files it compiled.
#[track_caller]
pub fn make(world: &World, arguments: &[&str]) -> usize {
    let mut make = tool(world, "make", "make");
    make.args(["-C", "project", "-j2"]).args(arguments);
    let text = run(&mut make).success().text();
    text.lines().filter(|line| line.contains(" -MMD ")).count()
}
