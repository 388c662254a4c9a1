//! A configuration file of comments: every setting with its default, generated from the table.

use std::ffi::OsString;
use std::fmt::Write;
use std::path::Path;

use super::{Config, Error, Key, OTHER_VARIABLES, Overrides, Surroundings, load};

const HEAD: &str = "\
# Configuration of mesa. Flags win over variables, variables over this file, and this file over the
# defaults. `mesa config show --origin` prints what counts, and why.
#
# What is commented out is the default. An empty value is none. Sizes are written 320MB or 10GiB,
# durations 250ms, 1s or 2m. A name that does not exist is an error.
";

const TAIL: &str = r#"
# Organizations, and what is mounted of them: everything ("all"), or only the repositories that have
# tables here ("explicit"). Without a word of it: "explicit" where there are such tables, else "all".
# A repository may have settings of its own:
#
#     [organizations.acme]
#     mount = "explicit"
#
#     [organizations.acme.repos.app]
#     rev = { bookmark = "main" }
#     publish = "merge"
#
#     [organizations.acme.repos.library]
#     rev = { change-id = "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk" }
#     read-only = true
"#;

/// The text, with the defaults of this user. `runtime` is the environment's `XDG_RUNTIME_DIR`.
///
/// # Errors
///
/// None: the defaults are right.
pub fn template(uid: u32, gid: u32, runtime: Option<OsString>) -> Result<String, Error> {
    let environment = |name: &str| match name {
        "MESA_NO_CONFIG_FILE" => Some("1".into()),
        "XDG_RUNTIME_DIR" => runtime.clone(),
        _ => None,
    };
    let defaults = load(
        &Overrides::default(),
        &Surroundings {
            environment: &environment,
            variables: &[],
            // What the file calls the home folder.
            home: Some(Path::new("~")),
            current_folder: Path::new("/"),
            uid,
            gid,
        },
    )?;
    Ok(text(&defaults))
}

fn text(defaults: &Config) -> String {
    let mut text = HEAD.to_owned();
    let mut within = "";
    for key in Key::ALL.iter().copied() {
        let setting = key.setting();
        let (table, name) = setting.table_and_key();
        if table != within {
            text.push_str(&format!("\n[{table}]\n"));
            within = table;
        }
        let value = defaults.value(key);
        let help: String = setting
            .help
            .iter()
            .map(|line| format!("#{line}\n"))
            .collect();
        let variable = setting.variable;
        // Writing to a string does not fail.
        let _written = write!(text, "\n{help}# Variable: {variable}\n#{name} = {value}\n");
    }
    text.push_str(TAIL);
    text.push_str("#\n# Only variables can be:\n#\n");
    for (name, help) in OTHER_VARIABLES {
        text.push_str(&format!("#     {name}: {help}\n"));
    }
    text
}
