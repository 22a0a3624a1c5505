{{- define "flow-operator.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "flow-operator.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (include "flow-operator.fullname" .) -}}
{{- end -}}

{{- define "flow-operator.daskName" -}}
{{- include "flow-operator.fullname" . }}-dask
{{- end -}}

{{- define "flow-operator.hooksName" -}}
{{- include "flow-operator.fullname" . }}-hooks
{{- end -}}

{{- define "flow-operator.commonLabels" -}}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version | replace "+" "_" }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: flow-operator
{{- end -}}

{{/* What a Deployment selects: its name, the release, and nothing that an upgrade may change. */}}
{{- define "flow-operator.selector" -}}
app.kubernetes.io/name: flow-operator
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end -}}

{{- define "flow-operator.daskSelector" -}}
app.kubernetes.io/name: flow-operator
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: dask-controller
{{- end -}}

{{- define "flow-operator.labels" -}}
{{ include "flow-operator.selector" . }}
{{ include "flow-operator.commonLabels" . }}
{{- end -}}

{{- define "flow-operator.daskLabels" -}}
{{ include "flow-operator.daskSelector" . }}
{{ include "flow-operator.commonLabels" . }}
{{- end -}}

{{- define "flow-operator.hookLabels" -}}
app.kubernetes.io/name: flow-operator
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: hook
{{ include "flow-operator.commonLabels" . }}
{{- end -}}

{{/* An image reference. Takes (dict "root" $ "image" .Values.image "name" "operator"). */}}
{{- define "flow-operator.reference" -}}
{{- $repository := .image.repository -}}
{{- if not $repository -}}
{{- if not .root.Values.registry -}}
{{- fail (printf "\n\nSet registry (--set registry=registry.example.com/flows), or %s.repository: without either the chart does not know where the image is." .value) -}}
{{- end -}}
{{- $repository = printf "%s/flow-operator/%s" (regexReplaceAll "/.*" .root.Values.registry "") .name -}}
{{- end -}}
{{- if .image.digest -}}
{{- printf "%s@%s" $repository .image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository (.image.tag | default .root.Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{- define "flow-operator.image" -}}
{{- include "flow-operator.reference" (dict "root" . "image" .Values.image "name" "operator" "value" "image") -}}
{{- end -}}

{{- define "flow-operator.runtimeImage" -}}
{{- include "flow-operator.reference" (dict "root" . "image" .Values.runtimeImage "name" "runtime" "value" "runtimeImage") -}}
{{- end -}}

{{/* The settings file. Its model is flow_operator.api.settings.Settings, which refuses unknown keys. */}}
{{- define "flow-operator.settings" -}}
registry: {{ .Values.registry | quote }}
operatorImage: {{ include "flow-operator.image" . | quote }}
runtimeImage: {{ include "flow-operator.runtimeImage" . | quote }}
registries: {{- .Values.registries | toYaml | nindent 2 }}
packageIndex: {{- .Values.packageIndex | toYaml | nindent 2 }}
dockerEngine: {{- .Values.dockerEngine | toYaml | nindent 2 }}
caBundle: {{ ternary "/etc/flow-operator/ca/ca.crt" "" (ne .Values.caBundle.configMapName "") | quote }}
watchNamespaces: {{- .Values.watchNamespaces | toYaml | nindent 2 }}
labels: {{- .Values.labels | toYaml | nindent 2 }}
imagePullSecrets: {{- .Values.imagePullSecrets | toYaml | nindent 2 }}
leaderElection: {{- set (deepCopy .Values.leaderElection) "namespace" .Release.Namespace | toYaml | nindent 2 }}
retries: {{- .Values.retries | toYaml | nindent 2 }}
daskOperator:
  present: {{ or .Values.daskOperator.install .Values.daskOperator.present }}
builder: {{- .Values.builder | toYaml | nindent 2 }}
runner: {{- .Values.runner | toYaml | nindent 2 }}
dask: {{- .Values.dask | toYaml | nindent 2 }}
logLevel: {{ .Values.logLevel }}
logFormat: {{ .Values.logFormat }}
{{- end -}}

{{/* Pod Security "restricted", for every pod of this chart. */}}
{{- define "flow-operator.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "flow-operator.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{- define "flow-operator.scheduling" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Takes (dict "event" "pre-delete" "weight" -10). A failed Job stays to be looked at until the next try. */}}
{{- define "flow-operator.hookAnnotations" -}}
helm.sh/hook: {{ .event }}
helm.sh/hook-weight: {{ .weight | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end -}}
