//! `mesa stats`: figures of a running daemon, for people, scripts and Prometheus.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::exit::Exit;
use super::{Context, Error, output};
use crate::daemon::control::{
    Answer, Bucket, Family, Metrics, Request, Sample, Value, ask, socket_of_process,
};
use crate::daemon::{self, control_socket};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// As what.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Of the daemon with this process number, whatever is configured here.
    #[arg(long, value_name = "N", conflicts_with = "pid_file")]
    pid: Option<u32>,
    /// Of the daemon whose process number is in this file.
    #[arg(long, value_name = "PATH")]
    pid_file: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum Format {
    /// Columns.
    #[default]
    Table,
    /// One value.
    Json,
    /// The text format of Prometheus, version 0.0.4.
    Prometheus,
}

/// Shows figures.
///
/// # Errors
///
/// There is no such daemon, or it does not answer.
pub(super) fn run(arguments: &Arguments, context: &Context) -> Result<Exit, Error> {
    let pid = match &arguments.pid_file {
        Some(path) => Some(pid_in(path)?),
        None => arguments.pid,
    };
    let socket = match pid {
        Some(pid) => socket_of_process(pid)?,
        None => control_socket(&context.settings()?),
    };
    let metrics = match ask(&socket, &Request::Stats)? {
        Answer::Metrics(metrics) => metrics,
        _ => return Err(Error::UnexpectedAnswer),
    };
    match arguments.format {
        Format::Json => output::json(&metrics)?,
        Format::Table => output::data(table(&metrics).trim_end())?,
        Format::Prometheus => output::data(prometheus(&metrics).trim_end())?,
    }
    Ok(Exit::Done)
}

fn pid_in(path: &Path) -> Result<u32, daemon::Error> {
    let failed = |source| daemon::Error::Folder {
        path: path.to_owned(),
        source,
    };
    let text = std::fs::read_to_string(path).map_err(failed)?;
    let number = text.trim().parse();
    number.map_err(|_| failed(std::io::ErrorKind::InvalidData.into()))
}

/// The figures in columns; of histograms, the count and the mean.
fn table(metrics: &Metrics) -> String {
    let mut rows = Vec::new();
    for family in &metrics.families {
        for sample in &family.samples {
            let value = match &sample.value {
                // A row of zeros for each thing that never happened helps nobody.
                Value::Number { value: 0 } if !sample.labels.is_empty() => continue,
                Value::Number { value } => value.to_string(),
                Value::Histogram { count, sum, .. } => {
                    let mean = sum / (*count).max(1) as f64;
                    format!("{count} (mean {:.3} ms)", mean * 1e3)
                }
            };
            rows.push((family.name.as_str(), labels_for_people(sample), value));
        }
    }
    let width = |of: fn(&(&str, String, String)) -> usize| rows.iter().map(of).max().unwrap_or(0);
    let (name_width, label_width) = (width(|row| row.0.len()), width(|row| row.1.len()));
    let mut text = String::new();
    for (name, labels, value) in &rows {
        let _into_memory = writeln!(text, "{name:name_width$}  {labels:label_width$}  {value}");
    }
    text
}

fn labels_for_people(sample: &Sample) -> String {
    let labels = sample.labels.iter();
    let labels = labels.map(|(key, value)| format!("{key}={value}"));
    labels.collect::<Vec<_>>().join(" ")
}

/// The figures as Prometheus reads them.
fn prometheus(metrics: &Metrics) -> String {
    let mut text = String::new();
    for family in &metrics.families {
        let Family {
            name, help, kind, ..
        } = family;
        let help = help.replace('\\', r"\\").replace('\n', r"\n");
        text.push_str(&format!(
            "# HELP {name} {help}\n# TYPE {name} {}\n",
            kind.name()
        ));
        for sample in &family.samples {
            match &sample.value {
                Value::Number { value } => {
                    text.push_str(&line(name, &sample.labels, None, &value.to_string()));
                }
                Value::Histogram {
                    buckets,
                    count,
                    sum,
                } => {
                    let bucket = format!("{name}_bucket");
                    for Bucket { le, count } in buckets {
                        let le = le.to_string();
                        let count = count.to_string();
                        text.push_str(&line(&bucket, &sample.labels, Some(&le), &count));
                    }
                    let count = count.to_string();
                    text.push_str(&line(&bucket, &sample.labels, Some("+Inf"), &count));
                    let sum = sum.to_string();
                    text.push_str(&line(&format!("{name}_sum"), &sample.labels, None, &sum));
                    text.push_str(&line(
                        &format!("{name}_count"),
                        &sample.labels,
                        None,
                        &count,
                    ));
                }
            }
        }
    }
    text
}

fn line(name: &str, labels: &[(String, String)], le: Option<&str>, value: &str) -> String {
    let escaped = |value: &str| {
        let value = value.replace('\\', r"\\").replace('"', "\\\"");
        value.replace('\n', r"\n")
    };
    let own = labels.iter();
    let mut parts: Vec<String> = own
        .map(|(key, value)| format!("{key}=\"{}\"", escaped(value)))
        .collect();
    parts.extend(le.map(|le| format!("le=\"{le}\"")));
    match parts.is_empty() {
        true => format!("{name} {value}\n"),
        false => format!("{name}{{{}}} {value}\n", parts.join(",")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::control::FamilyKind;

    fn metrics() -> Metrics {
        let family = |kind, name: &str, samples| Family {
            name: name.into(),
            help: "A \\ and\na line.".into(),
            kind,
            samples,
        };
        let labels = vec![("repo".to_owned(), "a\\b\"c\nd".to_owned())];
        let number = Sample {
            labels: labels.clone(),
            value: Value::Number { value: 3 },
        };
        let histogram = Sample {
            labels: Vec::new(),
            value: Value::Histogram {
                buckets: vec![
                    Bucket {
                        le: 0.00001,
                        count: 1,
                    },
                    Bucket { le: 0.5, count: 2 },
                ],
                count: 4,
                sum: 0.25,
            },
        };
        Metrics {
            families: vec![
                family(FamilyKind::Gauge, "one", vec![number]),
                family(FamilyKind::Histogram, "two", vec![histogram]),
            ],
        }
    }

    #[test]
    fn prometheus_gets_its_escapes_and_cumulative_buckets() {
        assert_eq!(
            prometheus(&metrics()),
            "# HELP one A \\\\ and\\na line.\n# TYPE one gauge\n\
             one{repo=\"a\\\\b\\\"c\\nd\"} 3\n\
             # HELP two A \\\\ and\\na line.\n# TYPE two histogram\n\
             two_bucket{le=\"0.00001\"} 1\ntwo_bucket{le=\"0.5\"} 2\ntwo_bucket{le=\"+Inf\"} 4\n\
             two_sum 0.25\ntwo_count 4\n"
        );
    }

    #[test]
    fn json_reads_back_as_what_it_was() {
        let text = serde_json::to_string(&metrics()).unwrap();
        assert_eq!(serde_json::from_str::<Metrics>(&text).unwrap(), metrics());
        assert!(text.contains(r#""type":"histogram""#), "{text}");
    }

    #[test]
    fn a_table_has_a_row_for_each_figure() {
        let table = table(&metrics());
        assert!(table.contains("4 (mean 62.500 ms)"), "{table}");
        assert_eq!(
            table.lines().count(),
            3,
            "the label has a line end: {table}"
        );
    }
}
