//! What the fuzzer may see of the configuration: any text is a file that is read, or refused with
//! words; so is any value of a setting.

use std::ffi::OsString;
use std::path::Path;

use super::values::Values;
use super::{Key, Origin, Surroundings, file};

/// A configuration file's text. Texts of its settings are read as far as a start would.
pub fn text(text: &str) {
    let mut problems = Vec::new();
    let path = Path::new("/config.toml");
    match file::read(path, text, &mut problems) {
        Ok(contents) => {
            let file::Contents {
                mut values,
                organizations,
            } = contents;
            // Without a place for its data a configuration says nothing more.
            let origin = (Origin::Flag(Key::DataDir.name()), OsString::from("/data"));
            values.entry(Key::DataDir).or_insert(origin);
            let surroundings = Surroundings {
                environment: &|_| None,
                home: Some(Path::new("/home")),
                current_folder: Path::new("/"),
                uid: 0,
                gid: 0,
            };
            let mut values = Values::new(values, &surroundings, &mut problems);
            let _selected = values.organization();
            if let Some(config) = values.config(organizations, Some(path.to_owned())) {
                assert!(config.data_folder.is_absolute());
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    for problem in problems {
        assert!(!format!("{problem:?}").is_empty());
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
