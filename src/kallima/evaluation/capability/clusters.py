"""How well clusters that were found without labels agree with the classes."""

from kallima.evaluation.capability.subject import Found, Subject
from kallima.evaluation.latent.clustering import clustering_accuracy, named_accuracy


def cluster_accuracy(subject: Subject) -> Found:
    """Return the share of examples in the cluster that the best one-to-one matching gives to their class."""
    clusters = subject.ask(subject.system.cluster, subject.seen, "clustering").argmax(1)
    labels = subject.seen.labels
    found, named = clustering_accuracy(labels, clusters), named_accuracy(labels, clusters)
    return Found(
        found._replace(notes=(*found.notes, f"{named.value:.1%} if {named.notes[0]}")), subject.real, len(labels)
    )
