//! What the fuzzer may see of the configuration: any text is a file that is read, or refused with
//! words; so is any value of a setting, and any list in a variable.

use std::ffi::OsString;
use std::path::Path;

use super::given::Raw;
use super::values::Values;
use super::{Key, Origin, Surroundings, file, lists};

/// A configuration file's text. Texts of its settings are read as far as a start would.
pub fn text(text: &str) {
    let mut problems = Vec::new();
    let path = Path::new("/config.toml");
    // The same text as a list, whose entries may be credentials: no problem may repeat one.
    let environment = |name: &str| match name {
        "MESA_ORGS" | "MESA_REPO_REVS" if !text.contains('\0') => Some(OsString::from(text)),
        _ => None,
    };
    let surroundings = Surroundings {
        environment: &environment,
        variables: &[],
        home: Some(Path::new("/home")),
        current_folder: Path::new("/"),
        uid: 0,
        gid: 0,
    };
    match file::read(path, text, &mut problems) {
        Ok(mut given) => {
            // Without a place for its data a configuration says nothing more.
            let origin = Origin::Flag(Key::DataDir.flag());
            let data = Raw::Text(OsString::from("/data"));
            given.values.entry(Key::DataDir).or_insert((origin, data));
            lists::repository_revisions(&mut given, &surroundings, &mut problems);
            let values = Values::new(given, &surroundings, &mut problems);
            if let Some(config) = values.config(Some(path.to_owned())) {
                assert!(config.data_folder.is_absolute());
                assert!(config.pid_file.is_absolute());
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    for problem in problems {
        assert!(!problem.to_string().is_empty());
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn seeds_and_findings_hold() {
        let seeds = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/seeds/config_file");
        for seed in std::fs::read_dir(seeds).unwrap() {
            super::text(&std::fs::read_to_string(seed.unwrap().path()).unwrap());
        }
    }
}
