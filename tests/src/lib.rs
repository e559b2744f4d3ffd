//! Control plane and contract tests against a real etcd, kube-apiserver and kube-controller-manager.
