//! Which name somebody may have meant who wrote one that does not exist.

use super::Key;
use super::key::OTHER_VARIABLES;

/// How alike two names must be, of one: a letter too many, too few, or two swapped.
const ALIKE_MIN: f64 = 0.8;

/// The name that is most like `name`, if one is.
pub(super) fn of(name: &str, names: &[&'static str]) -> Option<&'static str> {
    let alike = names
        .iter()
        .map(|known| (strsim::normalized_damerau_levenshtein(name, known), *known));
    alike
        .filter(|(alike, _)| *alike >= ALIKE_MIN)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, known)| known)
}

/// The place of the file that is most like one that does not exist; also for a key that is right but
/// in the wrong table, and for one that is spelt like its flag or its variable.
pub(super) fn place(name: &str) -> Option<&'static str> {
    let last = name.rsplit('.').next().unwrap_or(name);
    let spelt = last.to_uppercase().replace('-', "_");
    let exact = Key::ALL.iter().find(|key| {
        let setting = key.setting();
        let (_, within) = setting.table_and_key();
        within == last || setting.flag == name || setting.variable == spelt
    });
    let places: Vec<&str> = Key::ALL.iter().map(|key| key.place()).collect();
    exact
        .map(|key| key.place())
        .or_else(|| of(name, &places))
        .or_else(|| of(name, &["organizations"]))
}

/// The variable that is most like one that does not exist.
pub(super) fn variable(name: &str) -> Option<&'static str> {
    let settings = Key::ALL.iter().map(|key| key.variable());
    let others = OTHER_VARIABLES.iter().map(|(name, _)| *name);
    let all: Vec<&'static str> = settings.chain(others).collect();
    of(name, &all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_nearly_right_is_named_and_nothing_else_is() {
        for (name, meant) in [
            ("mount-piont", Some("mount-point")),
            ("max-size", Some("cache.max-size")),
            ("log-level", Some("daemon.log.level")),
            ("MESA_LOG_LEVEL", Some("daemon.log.level")),
            ("cache-path", Some("cache.path")),
            ("cache.max_size", Some("cache.max-size")),
            ("organisations", Some("organizations")),
            ("colour", None),
            ("api-key", None),
        ] {
            assert_eq!(place(name), meant, "{name}");
        }
        assert_eq!(variable("MESA_APIKEY"), Some("MESA_API_KEY"));
        assert_eq!(variable("MESA_ORGANIZATIONS"), None);
    }
}
