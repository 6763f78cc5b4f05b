//! Workloads on the real controllers of Kubernetes; a test plays the kubelet.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Kubernetes, end_of, program};
use crate::stack::process::Server;
use crate::stack::{StackError, wait_until};

/// A controller acts within a second; this is a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(60);

impl Kubernetes {
    /// The same with the controllers of Deployments, ReplicaSets and StatefulSets at work, and no others: what they do to
    /// objects of other tests is nothing.
    ///
    /// # Panics
    /// When they cannot be started; each test that asks gets the same message.
    pub fn with_controllers(&self) -> &Self {
        match self.controllers.get_or_init(|| self.start_controllers().map_err(|error| error.chain())) {
            Ok(_) => self,
            Err(message) => panic!("kube-controller-manager: {message}"),
        }
    }

    fn start_controllers(&self) -> Result<Server, StackError> {
        let program = program::kube_controller_manager()?;
        let kubeconfig = self.folder.path().join("admin.kubeconfig");
        let command = [
            program.display().to_string(),
            format!("--kubeconfig={}", kubeconfig.display()),
            "--controllers=deployment-controller,replicaset-controller,statefulset-controller".to_owned(),
            "--leader-elect=false".to_owned(),
            "--secure-port=0".to_owned(),
        ];
        let command = command.iter().map(String::as_str).collect::<Vec<_>>();
        Server::start(&command, &[], &self.folder.path().join("kube-controller-manager.log"))
    }

    /// Makes a workload of so many replicas, and waits until its pods are there and ready.
    pub fn workload(&self, namespace: &str, kind: &str, name: &str, replicas: u32) {
        let labels = json!({"app": name});
        let pod = json!({
            "containers": [{"name": "app", "image": "example.com/app"}], "terminationGracePeriodSeconds": 300,
        });
        let mut workload = json!({
            "metadata": {"name": name},
            "spec": {
                "replicas": replicas, "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": pod},
            },
        });
        if kind == "statefulsets" {
            workload["spec"]["serviceName"] = name.into();
        }
        self.create(&workloads(namespace, kind), &workload);
        self.roll_out(namespace, kind, name);
    }

    /// One workload.
    pub fn find_workload(&self, namespace: &str, kind: &str, name: &str) -> Value {
        let path = format!("{}/{name}", workloads(namespace, kind));
        self.get(&path).unwrap_or_else(|| panic!("no {path}"))
    }

    /// Changes a workload, or its status with `name/status`.
    pub fn change_workload(&self, namespace: &str, kind: &str, name: &str, patch: &Value) {
        let path = format!("{}/{name}?fieldManager=someone", workloads(namespace, kind));
        let (status, answer) = self.ask("PATCH", &path, Some(patch));
        assert_eq!(status, 200, "{}", answer["message"]);
    }

    /// Deletes a workload and its pods, as the garbage collector would.
    pub fn delete_workload(&self, namespace: &str, kind: &str, name: &str) {
        assert_eq!(self.ask("DELETE", &format!("{}/{name}", workloads(namespace, kind)), None).0, 200);
        for pod in self.pods(namespace, name) {
            self.end_pod(namespace, pod["metadata"]["name"].as_str().unwrap());
        }
    }

    /// The pods of a workload that was made here.
    pub fn pods(&self, namespace: &str, name: &str) -> Vec<Value> {
        let path = format!("/api/v1/namespaces/{namespace}/pods?labelSelector=app%3D{name}");
        let found = self.get(&path).expect("pods can be listed");
        found["items"].as_array().cloned().unwrap_or_default()
    }

    /// What a kubelet does with a pod that ends.
    pub fn end_pod(&self, namespace: &str, pod: &str) {
        self.ask("DELETE", &format!("/api/v1/namespaces/{namespace}/pods/{pod}?gracePeriodSeconds=0"), None);
    }

    /// Makes every pod of a workload run and be ready, which does not yet; a scheduler and a kubelet in one.
    pub fn start_pods(&self, namespace: &str, name: &str) {
        for pod in self.pods(namespace, name) {
            let (pod_name, metadata) = (pod["metadata"]["name"].as_str().unwrap(), &pod["metadata"]);
            if metadata["deletionTimestamp"].is_string() || pod["status"]["phase"] == "Running" {
                continue;
            }
            let path = format!("/api/v1/namespaces/{namespace}/pods/{pod_name}");
            let target = json!({"metadata": {"name": pod_name}, "target": {"kind": "Node", "name": "node"}});
            self.ask("POST", &format!("{path}/binding"), Some(&target));
            let ready = json!({"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"});
            let status = json!({"status": {"phase": "Running", "conditions": [ready]}});
            self.ask("PATCH", &format!("{path}/status"), Some(&status));
        }
    }

    /// Plays the kubelet until a rollout is complete and no older pod is left.
    pub fn roll_out(&self, namespace: &str, kind: &str, name: &str) {
        let complete = || {
            self.start_pods(namespace, name);
            let pods = self.pods(namespace, name);
            for pod in pods.iter().filter(|pod| pod["metadata"]["deletionTimestamp"].is_string()) {
                self.end_pod(namespace, pod["metadata"]["name"].as_str().unwrap());
            }
            let workload = self.find_workload(namespace, kind, name);
            let count = |field: &str| workload["status"][field].as_u64().unwrap_or(0);
            let wanted = workload["spec"]["replicas"].as_u64().unwrap_or(1);
            workload["status"]["observedGeneration"] == workload["metadata"]["generation"]
                && ["replicas", "updatedReplicas", "availableReplicas"].iter().all(|field| count(field) == wanted)
                && self.pods(namespace, name).len() as u64 == wanted
        };
        let log = self.folder.path().join("kube-controller-manager.log");
        assert!(wait_until(PATIENCE, complete), "{kind}/{name} does not roll out\n{}", end_of(&log));
    }
}

fn workloads(namespace: &str, kind: &str) -> String {
    format!("/apis/apps/v1/namespaces/{namespace}/{kind}")
}
