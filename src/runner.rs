//! Which job a run is part of, as its environment says: AWS Batch, ECS.

use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio::time::timeout;

use crate::model::Runner;

/// How long the task's metadata service may take: it is on this machine.
const PATIENCE: Duration = Duration::from_secs(1);

/// The job; `None` outside of any. The environment is asked once.
pub(crate) async fn runner() -> Option<Runner> {
    static RUNNER: OnceCell<Option<Runner>> = OnceCell::const_new();
    RUNNER.get_or_init(|| found(|name| std::env::var(name).ok())).await.clone()
}

async fn found(environment: impl Fn(&str) -> Option<String>) -> Option<Runner> {
    let metadata =
        environment("ECS_CONTAINER_METADATA_URI_V4").or_else(|| environment("ECS_CONTAINER_METADATA_URI"));
    let ecs_task = match metadata {
        None => None,
        Some(uri) => {
            let arn = timeout(PATIENCE, task_arn(&uri)).await.ok().flatten();
            // Where the service does not answer: what it calls the container, which begins with the task's id.
            arn.or_else(|| uri.trim_end_matches('/').rsplit('/').next().map(str::to_owned))
        }
    };
    let runner = Runner {
        job_id: environment("AWS_BATCH_JOB_ID"),
        job_attempt: environment("AWS_BATCH_JOB_ATTEMPT"),
        job_array_index: environment("AWS_BATCH_JOB_ARRAY_INDEX"),
        ecs_task: ecs_task.filter(|task| !task.is_empty()),
    };
    Some(runner).filter(|runner| *runner != Runner::default())
}

/// The task's ARN, as the metadata service of ECS tells it: by HTTP, without encryption, on an address of this machine.
async fn task_arn(uri: &str) -> Option<String> {
    let rest = uri.strip_prefix("http://")?;
    let (host, path) = rest.split_once('/')?;
    let address = if host.contains(':') { host.to_owned() } else { format!("{host}:80") };
    let mut stream = TcpStream::connect(address).await.ok()?;
    let path = path.trim_end_matches('/');
    let request = format!("GET /{path}/task HTTP/1.0\r\nHost: {host}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    if head.split(' ').nth(1) != Some("200") {
        return None;
    }
    let document: Value = serde_json::from_str(body).ok()?;
    document["TaskARN"].as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn of(variables: &[(&str, &str)]) -> Option<Runner> {
        let find = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        found(find).await
    }

    #[tokio::test]
    async fn job_is_told_by_the_environment_and_none_without() {
        assert_eq!(of(&[]).await, None);
        let told = of(&[("AWS_BATCH_JOB_ID", "job-7"), ("AWS_BATCH_JOB_ARRAY_INDEX", "3")]).await.unwrap();
        assert_eq!((told.job_id.as_deref(), told.job_array_index.as_deref()), (Some("job-7"), Some("3")));
        // Nobody listens there.
        let told = of(&[("ECS_CONTAINER_METADATA_URI_V4", "http://127.0.0.1:1/v4/task-1/")]).await.unwrap();
        assert_eq!(told.ecs_task.as_deref(), Some("task-1"));
    }

    #[tokio::test]
    async fn task_is_told_by_its_arn() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let served = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = vec![0; 1024];
            let length = stream.read(&mut asked).await.unwrap();
            stream
                .write_all(b"HTTP/1.1 200 OK\r\n\r\n{\"TaskARN\": \"arn:aws:ecs:x:1:task/c/t\"}")
                .await
                .unwrap();
            String::from_utf8_lossy(&asked[..length]).into_owned()
        });
        let uri = format!("http://127.0.0.1:{port}/v4/abc");
        let told = of(&[("ECS_CONTAINER_METADATA_URI_V4", &uri)]).await.unwrap();
        assert_eq!(told.ecs_task.as_deref(), Some("arn:aws:ecs:x:1:task/c/t"));
        assert!(served.await.unwrap().starts_with("GET /v4/abc/task HTTP/1.0\r\n"));
    }
}
