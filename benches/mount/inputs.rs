//! What everybody finds in the lower layer: a tree of text, logs to append to, a crate and a C program.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::content::{APPENDED_FILES, lower_folder};
use crate::support::git::{commit_all, git_text};
use crate::trees::program;

/// Files of the tree, in folders of [`PER_FOLDER`].
const FILES: usize = 3_000;
const PER_FOLDER: usize = 20;
/// Modules of the crate, and of the C program.
const MODULES: usize = 40;

/// The inputs, on the measured disk.
pub struct Inputs {
    /// A Git repository with all of it.
    pub repository: PathBuf,
    /// The tree once more, as a tar file.
    pub archive: PathBuf,
}

impl Inputs {
    /// Makes them for that many rounds, and one to warm up.
    pub fn make(disk: &Path, rounds: usize) -> Inputs {
        let repository = disk.join("inputs");
        for number in 0..FILES {
            let (folder, text) = (number / PER_FOLDER, text(number));
            let path = format!(
                "tree/part-{:02}/module-{folder}/file-{number}.txt",
                folder / 10
            );
            write(&repository.join(path), &text);
        }
        for round in 0..=rounds {
            for number in 0..APPENDED_FILES {
                let path = format!("{}/log-{number}", lower_folder(round));
                write(&repository.join(path), &text(number));
            }
        }
        the_crate(&repository.join("crate"));
        the_program(&repository.join("c"));
        git_text(&repository, &["init", "--quiet"]);
        commit_all(&repository, "inputs");
        let archive = disk.join("tree.tar");
        let mut tar = Command::new("tar");
        program(
            tar.arg("-cf")
                .arg(&archive)
                .arg("-C")
                .arg(&repository)
                .arg("tree"),
        );
        Inputs {
            repository,
            archive,
        }
    }

    /// Puts everything but the repository's own files into a directory.
    pub fn copy_to(&self, folder: &Path) {
        program(
            Command::new("cp")
                .arg("-a")
                .arg(&self.repository)
                .arg(folder),
        );
        crate::clear(&folder.join(".git"));
    }
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// 300 bytes to 40 kB, most of them short, as sources are.
fn text(number: usize) -> String {
    let lines = match number % 10 {
        0 => 800,
        1..=3 => 160,
        _ => 6 + number % 60,
    };
    let mut text = String::new();
    for line in 0..lines {
        let word = (number * 31 + line).wrapping_mul(0x9e37_79b1) % 99_991;
        writeln!(
            text,
            "let value_{word} = compute({line}, {number}); // {word}"
        )
        .unwrap();
    }
    if number.is_multiple_of(7) {
        writeln!(text, "a needle in file {number}").unwrap();
    }
    text
}

fn the_crate(folder: &Path) {
    let manifest =
        "[package]\nname = \"built\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n";
    write(&folder.join("Cargo.toml"), manifest);
    let mut main = String::new();
    let mut sum = String::from("0");
    for number in 0..MODULES {
        writeln!(main, "mod module_{number};").unwrap();
        write!(sum, " + module_{number}::value({number})").unwrap();
        let mut module = String::new();
        writeln!(
            module,
            "pub fn value(of: u64) -> u64 {{\n    helper_0(of)\n}}\n"
        )
        .unwrap();
        for helper in 0..30 {
            writeln!(
                module,
                "fn helper_{helper}(of: u64) -> u64 {{\n    let all: Vec<u64> = (0..of).map(|x| x ^ {helper}).collect();\n    \
                 all.iter().sum::<u64>() + if of > 9000 {{ helper_{}(of - 1) }} else {{ {number} }}\n}}\n",
                (helper + 1) % 30
            )
            .unwrap();
        }
        write(&folder.join(format!("src/module_{number}.rs")), &module);
    }
    writeln!(main, "\nfn main() {{\n    println!(\"{{}}\", {sum});\n}}").unwrap();
    write(&folder.join("src/main.rs"), &main);
    // So that cargo writes none of its own.
    write(
        &folder.join("Cargo.lock"),
        "version = 4\n\n[[package]]\nname = \"built\"\nversion = \"0.1.0\"\n",
    );
}

fn the_program(folder: &Path) {
    let mut main = String::from("#include <stdio.h>\n");
    let mut sum = String::from("0");
    let mut objects = String::from("main.o");
    for number in 0..MODULES {
        writeln!(main, "int value_{number}(int);").unwrap();
        write!(sum, " + value_{number}({number})").unwrap();
        write!(objects, " module_{number}.o").unwrap();
        let module = format!(
            "#include <stdlib.h>\nint value_{number}(int of) {{ return abs(of) * {number}; }}\n"
        );
        write(&folder.join(format!("module_{number}.c")), &module);
    }
    writeln!(
        main,
        "int main(void) {{ printf(\"%d\\n\", {sum}); return 0; }}"
    )
    .unwrap();
    write(&folder.join("main.c"), &main);
    let rules = format!(
        "objects = {objects}\nprogram: $(objects)\n\t$(CC) -o $@ $(objects)\n\
         clean:\n\trm -f program $(objects)\n"
    );
    write(&folder.join("Makefile"), &rules);
}
