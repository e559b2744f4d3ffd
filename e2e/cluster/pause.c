// The first process of every pod: it holds the pod's namespaces open and reaps what is orphaned into it.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static void on_child(int signal) {
    (void)signal;
    while (waitpid(-1, 0, WNOHANG) > 0) {
    }
}

static void on_end(int signal) {
    (void)signal;
    _exit(0);
}

int main(void) {
    signal(SIGCHLD, on_child);
    signal(SIGTERM, on_end);
    signal(SIGINT, on_end);
    for (;;) {
        pause();
    }
}
