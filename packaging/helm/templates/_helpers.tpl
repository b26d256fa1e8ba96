{{- define "dog.name" -}}
{{- if contains .Chart.Name .Release.Name -}}{{ .Release.Name }}{{- else -}}{{ printf "%s-%s" .Release.Name .Chart.Name }}{{- end -}}
{{- end -}}

{{- define "dog.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "dog.labels" -}}
{{ include "dog.selector" . }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "dog.metadata" -}}
name: {{ include "dog.name" . }}
namespace: {{ .Release.Namespace }}
labels:
  {{- include "dog.labels" . | nindent 2 }}
{{- end -}}

{{- define "dog.sessionSecret" -}}
{{- .Values.session.existingSecret | default (printf "%s-session" (include "dog.name" .)) -}}
{{- end -}}
