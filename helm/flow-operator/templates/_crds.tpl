{{/* Paths of the CRDs that this release has, as a JSON list. */}}
{{- define "flow-operator.crdPaths" -}}
{{- $paths := list -}}
{{- if .Values.crds.install -}}
{{- range $path, $_ := .Files.Glob "files/crds/*.yaml" -}}
{{- if or $.Values.daskOperator.install (not (hasSuffix ".kubernetes.dask.org.yaml" $path)) -}}
{{- $paths = append $paths $path -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $paths | toJson -}}
{{- end -}}

{{/* One CRD as JSON, with our labels and the policy that keeps it. Takes (dict "root" $ "path" PATH "owned" BOOL). */}}
{{- define "flow-operator.crd" -}}
{{- $crd := .root.Files.Get .path | fromYaml -}}
{{- $annotations := dict "helm.sh/resource-policy" "keep" -}}
{{- if .owned -}}
{{- $_ := set $annotations "meta.helm.sh/release-name" .root.Release.Name -}}
{{- $_ := set $annotations "meta.helm.sh/release-namespace" .root.Release.Namespace -}}
{{- end -}}
{{- $_ := set $crd.metadata "annotations" (merge $annotations ($crd.metadata.annotations | default dict)) -}}
{{- $_ := set $crd.metadata "labels" (merge (include "flow-operator.commonLabels" .root | fromYaml) ($crd.metadata.labels | default dict)) -}}
{{- $crd | toJson -}}
{{- end -}}

{{/*
Paths of the CRDs that are in the cluster and belong to another release, or to none: a JSON list. Helm refuses to
touch those, so they are left out of the manifest and brought up to date by a hook, which makes them ours; from the
next upgrade on they are in the manifest. Always empty without a cluster (helm template, Argo CD).
*/}}
{{- define "flow-operator.foreignCRDs" -}}
{{- $foreign := list -}}
{{- range $path := include "flow-operator.crdPaths" . | fromJsonArray -}}
{{- $name := base $path | trimSuffix ".yaml" -}}
{{- with lookup "apiextensions.k8s.io/v1" "CustomResourceDefinition" "" $name -}}
{{- $annotations := .metadata.annotations | default dict -}}
{{- $release := index $annotations "meta.helm.sh/release-name" | default "" -}}
{{- $namespace := index $annotations "meta.helm.sh/release-namespace" | default "" -}}
{{- $managed := eq "Helm" (index (.metadata.labels | default dict) "app.kubernetes.io/managed-by" | default "") -}}
{{- if not (and $managed (eq $release $.Release.Name) (eq $namespace $.Release.Namespace)) -}}
{{- $foreign = append $foreign $path -}}
{{- include "flow-operator.refuseSecondRelease" (dict "release" $release "namespace" $namespace "crd" $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $foreign | toJson -}}
{{- end -}}

{{/* Two releases would both act on every object: say so instead of taking the CRDs from one that is alive. */}}
{{- define "flow-operator.refuseSecondRelease" -}}
{{- if and .release .namespace -}}
{{- range (lookup "apps/v1" "Deployment" .namespace "").items -}}
{{- $labels := .metadata.labels | default dict -}}
{{- if and (eq $.release (index $labels "app.kubernetes.io/instance" | default "")) (eq "flow-operator" (index $labels "app.kubernetes.io/part-of" | default "")) -}}
{{- fail (printf "\n\nThe release %s in namespace %s is installed and owns %s; a cluster has one flow-operator.\nUpgrade that release, or uninstall it first (flows, runs and their CRDs stay)." $.release $.namespace $.crd) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
